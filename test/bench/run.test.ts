/** The benchmark as a command: the smallest question there is, of this checkout beside itself. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const program = join(import.meta.dirname, '../../bench/run.ts')
const run = (...args: string[]) => promisify(execFile)(process.execPath, [program, ...args])

t.test('answers with every reading, as JSON, and says how far it is', async (t) => {
  const asked = ['--quick', '--rounds=1', '--only=round-trips', '-o', 'json']
  const { stdout, stderr } = await run('compare', '.', '.', ...asked)
  const { rows, peers } = JSON.parse(stdout)
  t.match(peers, [{ name: '.' }, { name: '.' }])
  const metrics = ['p50', 'rate', 'server processor', 'agent processor']
  t.strictSame(
    rows.map(({ subject, metric }: { subject: string; metric: string }) => `${subject}, ${metric}`),
    ['1 connection', '32 connections'].flatMap((subject) => metrics.map((metric) => `${subject}, ${metric}`)),
  )
  for (const row of rows) for (const peer of row.peers) t.ok(peer.readings[0] > 0, `${row.subject}, ${row.metric}`)
  t.match(stderr, / s {2}128-byte round trips, 32 connections\n/)
})

t.test('ends with 1 and one line where it cannot begin', async (t) => {
  const failed = run('compare', 'no-such-commit', '.', '--quick')
  await t.rejects(failed, { code: 1, stdout: '', stderr: /^bench: compare: no commit "no-such-commit" in [^\n]+\n$/ })
})
