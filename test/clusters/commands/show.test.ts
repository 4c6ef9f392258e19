import t from 'tap'
import { parse } from 'yaml'
import { show } from '../../../src/clusters/commands/show.ts'
import { problemsOf, run } from '../../platform/run-command.ts'
import { clustersIn, TWO } from './commands.ts'

t.test('explains one cluster to people, and gives programs its document', async (t) => {
  const flag = clustersIn(t, TWO)
  const told = await run(show, ['eu-2', flag])
  t.match(told, { kind: 'done' })
  const text = told.kind === 'done' ? told.lines.join('\n') : ''
  for (const word of ['CN=a', 'eu-2.hub.example', '/run/eu-2.sock', '2 agents']) t.match(text, word)
  const yaml = await run(show, ['eu-2', flag, '-o', 'yaml'])
  t.match(yaml.kind === 'done' && parse(yaml.lines.join('\n')), { id: 'eu-2', agents: { users: ['u', 'v'] } })
})

t.test('there is no cluster of another name', async (t) => {
  await t.rejects(run(show, ['eu-3', clustersIn(t, TWO)]), { code: 'bad-option', message: /there is no cluster eu-3$/ })
})

t.test('takes one cluster', async (t) => {
  t.strictSame(await problemsOf(show), ['name the cluster to show'])
  t.strictSame(await problemsOf(show, 'eu-1', 'eu-2'), ['"eu-2": unexpected; show takes one cluster'])
  t.match(await problemsOf(show, 'eu-1', '-o', 'xml'), [/text, json or yaml/])
})
