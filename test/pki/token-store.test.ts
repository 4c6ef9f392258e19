import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createJoinToken } from '../../src/pki/join-token.ts'
import { ASK_AGAIN_MS, findToken, listTokens, removeToken, storeToken, useToken } from '../../src/pki/token-store.ts'

const NOW = Date.UTC(2030, 0, 1)
const MINUTE = 60_000
const DAY = 86_400_000
const by = { key: 'ab'.repeat(32), family: '01'.repeat(16), usedUnixMs: NOW }
const about = { cluster: 'eu-1', name: 'a1', createdUnixMs: NOW, expiresUnixMs: NOW + 15 * MINUTE }
const made = (folder: string, more: Partial<typeof about> = {}) => {
  const token = createJoinToken('00'.repeat(32))
  storeToken(folder, token, { ...about, ...more })
  return token
}

t.test('lets in whoever has the secret, until the token is used, over, or taken back', async (t) => {
  const folder = join(t.testdir(), 'deep', 'tokens')
  const { id, secret } = made(folder)
  t.match(findToken(folder, id, secret, NOW), {
    kind: 'good',
    token: { id, cluster: 'eu-1', name: 'a1', state: 'unused' },
  })
  t.match(findToken(folder, id, createJoinToken('').secret, NOW), { kind: 'unknown' })
  t.match(findToken(folder, '0'.repeat(12), secret, NOW), { kind: 'unknown' })
  t.match(findToken(folder, '../../etc/pa', secret, NOW), { kind: 'unknown' })
  t.match(findToken(folder, id, secret, about.expiresUnixMs - 1), { kind: 'good' })
  t.match(findToken(folder, id, secret, about.expiresUnixMs), { kind: 'expired' })
  t.ok(useToken(folder, id, by))
  t.notOk(useToken(folder, id, { ...by, key: 'cd'.repeat(32) }), 'once')
  t.match(findToken(folder, id, secret, NOW), { kind: 'used', by })
  t.equal(statSync(join(folder, `${id}.used`)).mode & 0o777, 0o600)
  t.match(findToken(folder, id, secret, NOW + ASK_AGAIN_MS - 1), { kind: 'used', by })
  t.match(findToken(folder, id, secret, NOW + ASK_AGAIN_MS), { kind: 'used', by: undefined }, 'for a while only')
  const short = made(folder, { expiresUnixMs: NOW + MINUTE })
  useToken(folder, short.id, by)
  t.match(findToken(folder, short.id, short.secret, NOW + MINUTE - 1), { kind: 'used', by })
  t.match(findToken(folder, short.id, short.secret, NOW + MINUTE), { by: undefined }, 'and no longer than it lives')
  t.match(findToken(folder, id, createJoinToken('').secret, NOW), { kind: 'unknown' }, 'said to who knows it only')
  const other = made(folder)
  t.ok(removeToken(folder, other.id))
  t.match(findToken(folder, other.id, other.secret, NOW), { kind: 'unknown' })
  t.notOk(useToken(folder, other.id, by))
  t.notOk(removeToken(folder, id), 'that was used')
})

t.test('a used token that comes back, as from a backup, stays used', async (t) => {
  const folder = t.testdir()
  const { id, secret } = made(folder)
  const [unused, used] = [join(folder, `${id}.json`), join(folder, `${id}.used`)]
  const text = readFileSync(unused)
  useToken(folder, id, by)
  writeFileSync(unused, text)
  t.match(findToken(folder, id, secret, NOW), { kind: 'used', by })
  t.ok(statSync(used).isFile())
  t.match(listTokens(folder, NOW), { length: 1, 0: { id, state: 'used' } })
})

t.test('an id leads to no file elsewhere, whatever is in it', async (t) => {
  const folder = t.testdir({ tokens: {} })
  const { id, secret } = made(folder)
  t.match(findToken(join(folder, 'tokens'), `../${id}`, secret, NOW), { kind: 'unknown' })
})

t.test('keeps no secret, and for nobody else', async (t) => {
  const folder = join(t.testdir(), 'tokens')
  const { id, secret } = made(folder)
  t.strictSame(readdirSync(folder), [`${id}.json`])
  t.equal(statSync(join(folder, `${id}.json`)).mode & 0o777, 0o600)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.notOk(readFileSync(join(folder, `${id}.json`), 'utf8').includes(secret))
})

t.test('lists all, the last one on top, and forgets what has long been over', async (t) => {
  const folder = t.testdir()
  const [first, second, old] = [
    made(folder),
    made(folder, { createdUnixMs: NOW + 1 }),
    made(folder, { expiresUnixMs: NOW - 8 * DAY }),
  ]
  useToken(folder, first.id, by)
  writeFileSync(join(folder, 'notes.txt'), 'x')
  for (const [id, text] of [
    ['b'.repeat(12), 'no json'],
    ['c'.repeat(12), '{}'],
    ['d'.repeat(12), `{"x":"${'x'.repeat(5_000)}"}`],
  ]) {
    writeFileSync(join(folder, `${id}.json`), text!)
  }
  t.strictSame(
    listTokens(folder, NOW).map(({ id, state }) => [id, state]),
    [
      [second.id, 'unused'],
      [first.id, 'used'],
    ],
  )
  t.notOk(readdirSync(folder).includes(`${old.id}.json`))
  t.strictSame(listTokens(join(folder, 'missing'), NOW), [])
  t.match(findToken(folder, 'c'.repeat(12), second.secret, NOW), { kind: 'unknown' })
})

t.test('a token whose user was not written down was used by nobody who could come again', async (t) => {
  const folder = t.testdir()
  const { id, secret } = made(folder)
  renameSync(join(folder, `${id}.json`), join(folder, `${id}.used`)) // the server ended then
  t.match(findToken(folder, id, secret, NOW), { kind: 'used', by: undefined })
  t.notOk(useToken(folder, id, by))
})
