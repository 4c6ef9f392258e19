import t from 'tap'
import { list } from '../../../src/clusters/commands/list.ts'
import { problemsOf, run } from '../../platform/run-command.ts'
import { clustersIn, TWO } from './commands.ts'

t.test('has a line for each cluster, as wide as the widest', async (t) => {
  t.strictSame(await run(list, [clustersIn(t, TWO)]), {
    kind: 'done',
    lines: [
      'ID    AGENTS  CLIENTS  SERVER NAMES      SOCKET',
      'eu-1  0       0        -                 -',
      'eu-2  3       0        eu-2.hub.example  /run/eu-2.sock',
    ],
  })
  t.match(await run(list, [clustersIn(t, '')]), { lines: [/^No clusters: add one/] })
})

t.test('has all there is for programs', async (t) => {
  const outcome = await run(list, [clustersIn(t, TWO), '-o', 'json'])
  const clusters = outcome.kind === 'done' ? JSON.parse(outcome.lines.join('\n')) : undefined
  t.match(clusters, [{ id: 'eu-1' }, { id: 'eu-2', limits: { agents: 2, clients: Number } }])
})

t.test('takes flags only', async (t) => {
  t.strictSame(await problemsOf(list, 'eu-1', 'eu-2'), [
    '"eu-1": unexpected; list takes flags only',
    '"eu-2": unexpected; list takes flags only',
  ])
})
