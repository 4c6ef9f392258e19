/** What a token carries and for how long it may be. What people see of it: commands.test.ts. */
import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { type JoinToken, readJoinToken } from '../../../src/pki/join-token.ts'
import { writePair } from '../../../src/pki/store.ts'
import { create } from '../../../src/pki/token-commands/create.ts'
import { findToken, listTokens } from '../../../src/pki/token-store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Date.UTC(2030, 0, 1)
const DAY_MS = 86_400_000
const authority = await createAuthority({ trustDomain: 'hub.example' })

function hub(t: Test) {
  const folder = t.testdir()
  const { certificateFile } = writePair(folder, 'ca', authority, 'keep')
  const tokens = join(folder, 'tokens')
  const flags = ['--ca', certificateFile, '--tokens', tokens]
  const made = async (...argv: string[]): Promise<JoinToken> => {
    const outcome = await run(create, [...argv, ...flags], NOW)
    return readJoinToken(outcome.kind === 'done' ? (outcome.lines[0] ?? '') : '')
  }
  return { folder, tokens, flags, made }
}

t.test('carries the fingerprint of the CA by which the agent knows the hub', async (t) => {
  const { made } = hub(t)
  const { fingerprint256 } = new X509Certificate(authority.certificatePem)
  t.equal((await made()).authority, fingerprint256.replaceAll(':', '').toLowerCase())
})

t.test('may be used for a second to a week, and no longer', async (t) => {
  const { tokens, made } = hub(t)
  for (const [ttl, ms] of [
    ['1s', 1_000],
    ['7d', 7 * DAY_MS],
    ['6d24h', 7 * DAY_MS],
  ] as const) {
    const { id, secret } = await made('--ttl', ttl)
    t.match(findToken(tokens, id, secret, NOW + ms - 1), { kind: 'good' }, ttl)
    t.match(findToken(tokens, id, secret, NOW + ms), { kind: 'expired' }, ttl)
  }
  for (const ttl of ['0s', '999ms', '7d1s', '-1h', '15']) {
    t.match(await problemsOf(create, `--ttl=${ttl}`), [/^--ttl: expected a time from 1s to 7d/], ttl)
  }
})

t.test('lets in another agent each time, unless it is named, by a secret of its own', async (t) => {
  const { tokens, made } = hub(t)
  const all = [await made(), await made(), await made('--name', 'a1'), await made('--name', 'a1')]
  t.equal(new Set(all.map(({ secret }) => secret)).size, 4)
  const names = listTokens(tokens, NOW).map(({ name }) => name)
  t.equal(new Set(names).size, 3)
  t.equal(names.filter((name) => name === 'a1').length, 2)
})

t.test('makes no token where a file for it is there, or the CA cannot be read', async (t) => {
  const { folder, tokens, flags } = hub(t)
  const out = join(folder, 'token')
  writeFileSync(out, 'mine')
  t.match(await run(create, ['--out', out, ...flags], NOW), { kind: 'failed', lines: [] })
  await t.rejects(run(create, [...flags, '--ca', out], NOW), { code: 'bad-option' })
  t.notOk(existsSync(tokens))
  t.strictSame(readdirSync(folder).sort(), ['ca.crt', 'ca.key', 'token'])
})
