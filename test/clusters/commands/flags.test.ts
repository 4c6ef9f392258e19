import t from 'tap'
import { parse } from 'yaml'
import { clustersFlag, idOf, outputFlag, pathOf, printed, wordProblems } from '../../../src/clusters/commands/flags.ts'
import { type Given, readLine } from '../../../src/platform/command-line.ts'

const given = (...argv: string[]): Given => readLine({ clusters: clustersFlag, output: outputFlag }, argv).given

t.test('the clusters are in clusters.yaml of the folder unless another place is given', async (t) => {
  t.equal(pathOf(given()), 'clusters.yaml')
  t.equal(pathOf(given('--clusters', '/etc/culvert/clusters.d')), '/etc/culvert/clusters.d')
})

t.test('prints for people, or the same for programs', async (t) => {
  const value = { id: 'eu-1', about: 'x'.repeat(200) }
  const text = (): string[] => ['for people']
  t.strictSame(printed(given(), value, text), ['for people'])
  t.strictSame(JSON.parse(printed(given('-o', 'json'), value, text).join('\n')), value)
  const yaml = printed(given('-o', 'yaml'), value, text).join('\n')
  t.strictSame(parse(yaml), value)
  t.equal(yaml.split('\n').length, 2, 'long lines are not folded')
})

t.test('a command takes one word or none', async (t) => {
  const problems: string[] = []
  t.equal(idOf(given('eu-1'), problems, 'show'), 'eu-1')
  t.strictSame(problems, [])
  t.equal(idOf(given('eu-1', 'eu-2'), problems, 'show'), undefined)
  t.equal(problems.length, 1)
  t.strictSame(wordProblems(given(), 'list'), [])
})
