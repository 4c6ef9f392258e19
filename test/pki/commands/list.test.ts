import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { list } from '../../../src/pki/commands/list.ts'
import { revoke } from '../../../src/pki/commands/revoke.ts'
import { issueLeaf } from '../../../src/pki/leaf.ts'
import { DAY_MS } from '../../../src/pki/lifetime.ts'
import { writePair } from '../../../src/pki/store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Math.floor(Date.now() / 1000) * 1000
const folder = t.testdir()
const authority = await createAuthority({ trustDomain: 'hub.example', lifetimeMs: 100 * DAY_MS, nowUnixMs: NOW })
writePair(folder, 'ca', authority, 'keep')
const days = { soon: 2, later: 50, over: 1, bad: 20 }
for (const [name, lifetime] of Object.entries(days)) {
  const nowUnixMs = name === 'over' ? NOW - 3 * DAY_MS : NOW
  const request = { identity: { role: 'user', name } as const, lifetimeMs: lifetime * DAY_MS, nowUnixMs }
  writePair(folder, name, await issueLeaf(authority, request), 'keep')
}
await run(revoke, [join(folder, 'bad.crt'), '--dir', folder], NOW)
writeFileSync(join(folder, 'key-only.pem'), 'nothing to list')
mkdirSync(join(folder, 'empty'))

t.test('lists what expires first on top, and what is revoked', async (t) => {
  const outcome = await run(list, [folder], NOW)
  const lines = outcome.kind === 'done' ? outcome.lines : []
  t.match(lines, [
    /^EXPIRES +DAYS +STATE +WHO +FILE$/,
    /^20\S+Z +-2 +expired +user over in hub\.example +\S+over\.crt$/,
    / 2 +good +user soon /,
    / 20 +revoked +user bad /,
    / 50 +good +user later /,
    / 100 +good +CA O=culvert, CN=Culvert hub CA +\S+ca\.crt$/,
  ])
  t.equal(lines.length, 6)
})

t.test('lists only what expires soon, and says by its exit code whether anything does', async (t) => {
  t.match(await run(list, [folder, '--within', '10d'], NOW), {
    kind: 'failed',
    lines: [/EXPIRES/, /over/, /soon/],
    warnings: [],
  })
  t.match(await run(list, [join(folder, 'later.crt'), '--within', '10d'], NOW), { kind: 'done', lines: [] })
  t.match(await problemsOf(list, '--within', 'soon'), [/^--within: expected a lifetime/])
})

t.test('is JSON for scripts', async (t) => {
  const outcome = await run(list, [folder, '-o', 'json'], NOW)
  const rows = outcome.kind === 'done' ? JSON.parse(outcome.lines.join('\n')) : []
  t.strictSame(
    rows.map(({ state }: { state: string }) => state),
    ['expired', 'good', 'revoked', 'good', 'good'],
  )
  t.match(rows[1], { file: join(folder, 'soon.crt'), role: 'user', name: 'soon', daysLeft: 2 })
})

t.test('says what cannot be read, and lists the rest', async (t) => {
  const broken = join(folder, 'empty', 'broken.crt')
  const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  writeFileSync(broken, pem)
  writeFileSync(join(folder, 'empty', 'crl.pem'), 'no list')
  mkdirSync(join(folder, 'empty', 'dir.crt'))
  copyFileSync(join(folder, 'later.crt'), join(folder, 'empty', 'later.crt'))
  const outcome = await run(list, [join(folder, 'missing'), join(folder, 'empty'), join(folder, 'soon.crt')], NOW)
  t.match(outcome, {
    kind: 'failed',
    lines: [/EXPIRES/, /soon/, /later/],
    warnings: [
      /missing: cannot be read: no such file/,
      /dir\.crt: cannot be read: illegal operation on a directory/,
      /broken\.crt: holds a certificate that cannot be read/,
      /crl\.pem: holds no/,
    ],
  })
})
