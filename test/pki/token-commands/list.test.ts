/** Tokens of every state. What people see of one: commands.test.ts. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createJoinToken } from '../../../src/pki/join-token.ts'
import { list } from '../../../src/pki/token-commands/list.ts'
import { storeToken, useToken } from '../../../src/pki/token-store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Date.UTC(2030, 0, 1)
const MINUTE = 60_000

function made(folder: string, cluster: string, ageMs: number, name = 'a1'): string {
  const token = createJoinToken('00'.repeat(32))
  const createdUnixMs = NOW - ageMs
  storeToken(folder, token, { cluster, name, createdUnixMs, expiresUnixMs: createdUnixMs + 15 * MINUTE })
  return token.id
}

t.test('says what became of each, the last one on top, in columns as wide as the widest', async (t) => {
  const folder = t.testdir()
  const [expired, used, unused] = [
    made(folder, 'eu-1', 20 * MINUTE),
    made(folder, 'a-cluster-of-a-long-name', 2 * MINUTE, 'edge_1.example'),
    made(folder, 'eu-2', MINUTE),
  ]
  useToken(folder, used, { key: 'ab'.repeat(32), family: '01', usedUnixMs: NOW })
  t.strictSame(await run(list, ['--tokens', folder], NOW), {
    kind: 'done',
    lines: [
      'ID            STATE    CLUSTER                   NAME            EXPIRES',
      `${unused}  unused   eu-2                      a1              2030-01-01T00:14:00.000Z`,
      `${used}  used     a-cluster-of-a-long-name  edge_1.example  2030-01-01T00:13:00.000Z`,
      `${expired}  expired  eu-1                      a1              2029-12-31T23:55:00.000Z`,
    ],
  })
})

t.test('is JSON where there are none too, and has neither hash nor user of a token', async (t) => {
  const folder = join(t.testdir(), 'tokens')
  t.strictSame(await run(list, ['--tokens', folder, '-o', 'json'], NOW), { kind: 'done', lines: ['[]'] })
  const id = made(folder, 'eu-1', 0)
  useToken(folder, id, { key: 'ab'.repeat(32), family: '01', usedUnixMs: NOW })
  const outcome = await run(list, ['--tokens', folder, '-o', 'json'], NOW)
  t.strictSame(outcome.kind === 'done' && JSON.parse(outcome.lines.join('\n')), [
    {
      id,
      cluster: 'eu-1',
      name: 'a1',
      state: 'used',
      created: '2030-01-01T00:00:00.000Z',
      expires: '2030-01-01T00:15:00.000Z',
    },
  ])
})

t.test('says what is no folder, and no format', async (t) => {
  const file = join(t.testdir(), 'file')
  writeFileSync(file, '')
  await t.rejects(run(list, ['--tokens', file]), { code: 'bad-option', message: `${file}: cannot be read: ` })
  t.match(await problemsOf(list, '-o', 'yaml', 'x'), [/^-o: expected text or json/, /^"x": unexpected/])
})
