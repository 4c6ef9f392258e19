import { join } from 'node:path'
import t from 'tap'
import { validate } from '../../../src/clusters/commands/validate.ts'
import { problemsOf, run } from '../../platform/run-command.ts'
import { clustersIn, TWO } from './commands.ts'

t.test('counts the clusters of good files', async (t) => {
  const flag = clustersIn(t, TWO)
  const path = flag.slice('--clusters='.length)
  t.match(await run(validate, [flag]), { kind: 'done', lines: [`${path}: good: 2 clusters`] })
  t.match(await run(validate, [clustersIn(t, 'id: a\n')]), { kind: 'done', lines: [/good: 1 cluster$/] })
})

t.test('fails for what leads to two clusters', async (t) => {
  const flag = clustersIn(t, `${TWO}---\nid: eu-3\nfrontends: { socket: /run/eu-2.sock }\n`)
  await t.rejects(run(validate, [flag]), {
    code: 'bad-option',
    message: /:9: socket .* is that of cluster eu-2 already/,
  })
})

t.test('says which files of a folder a server passes over', async (t) => {
  const folder = t.testdir({ 'a.yaml': 'id: a\n', 'B.YAML': 'id: b\n' })
  t.match(await run(validate, [`--clusters=${folder}`]), {
    kind: 'done',
    lines: [/good: 1 cluster$/],
    warnings: [`${join(folder, 'B.YAML')}: is ignored: its name must end in .yaml, .yml or .json, in lower case`],
  })
})

t.test('takes flags only', async (t) => {
  t.match(await problemsOf(validate, 'eu-1'), ['"eu-1": unexpected; validate takes flags only'])
})
