/** `culvert token`: what people type and see. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { readJoinToken } from '../../../src/pki/join-token.ts'
import { issueLeaf } from '../../../src/pki/leaf.ts'
import { writePair } from '../../../src/pki/store.ts'
import { create } from '../../../src/pki/token-commands/create.ts'
import { list } from '../../../src/pki/token-commands/list.ts'
import { revoke } from '../../../src/pki/token-commands/revoke.ts'
import { findToken } from '../../../src/pki/token-store.ts'
import { openSslCa } from '../../integration/openssl.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Date.UTC(2030, 0, 1)
const authority = await createAuthority({ trustDomain: 'hub.example' })

function hub(t: Test): { readonly folder: string; readonly flags: readonly string[]; readonly tokens: string } {
  const folder = t.testdir()
  const { certificateFile } = writePair(folder, 'ca', authority, 'keep')
  const tokens = join(folder, 'tokens')
  return { folder, tokens, flags: ['--ca', certificateFile, '--tokens', tokens] }
}
const linesOf = async (...args: Parameters<typeof run>): Promise<readonly string[]> => {
  const outcome = await run(...args)
  return outcome.kind === 'refused' ? outcome.problems : [...outcome.lines, ...(outcome.warnings ?? [])]
}

t.test('a token is printed alone, or written for its owner only, and never over a file', async (t) => {
  const { folder, flags, tokens } = hub(t)
  const printed = await linesOf(create, ['--cluster', 'eu-1', ...flags], NOW)
  t.equal(printed.length, 1)
  const { id, secret } = readJoinToken(printed[0] ?? '')
  t.match(findToken(tokens, id, secret, NOW), { kind: 'good', token: { cluster: 'eu-1', name: /^agent-[0-9a-f]{8}$/ } })
  t.match(findToken(tokens, id, secret, NOW + 15 * 60_000), { kind: 'expired' })

  const out = join(folder, 'token')
  const said = await linesOf(create, ['--name', 'a1', '--ttl', '1h', '--out', out, ...flags], NOW)
  t.match(said, [
    /^Made the token [0-9a-f]{12} for agent a1 of cluster default, to be used until 2030-01-01T01:00/,
    /keep it secret/,
    /^Next: /,
  ])
  const written = readJoinToken(readFileSync(out, 'utf8'))
  t.equal(statSync(out).mode & 0o777, 0o600)
  t.notOk(said.join('\n').includes(written.secret))
  t.match(await run(create, ['--out', out, ...flags], NOW), { kind: 'failed', warnings: [/is there already/] })
  t.strictSame(readJoinToken(readFileSync(out, 'utf8')), written)
})

t.test('what makes no sense is refused', async (t) => {
  const { folder, flags } = hub(t)
  t.match(await problemsOf(create, '--cluster', 'EU', '--ttl', '8d', '--name', 'a b', 'x'), [
    /^--cluster: expected a cluster id/,
    /^--ttl: expected a time from 1s to 7d/,
    /^--name: expected a name/,
    /^"x": unexpected/,
  ])
  const leaf = writePair(folder, 'leaf', await issueLeaf(authority, {}), 'keep').certificateFile
  t.match(await run(create, [...flags, '--ca', leaf]), { kind: 'failed', warnings: [/is not the certificate of a CA/] })
  const { certFile } = openSslCa(t).intermediate('below')
  t.match(await run(create, [...flags, '--ca', certFile]), { kind: 'failed', warnings: [/is an intermediate CA/] })
  const bundle = join(folder, 'bundle.crt')
  const next = await createAuthority({ trustDomain: 'hub.example' })
  writeFileSync(bundle, authority.certificatePem + next.certificatePem)
  t.match(await run(create, [...flags, '--ca', bundle]), {
    kind: 'failed',
    warnings: [/bundle\.crt holds 2 CAs, and a token is for one: name a file of the one that issued/],
  })
  writeFileSync(bundle, authority.certificatePem + authority.certificatePem)
  t.match(await run(create, [...flags, '--ca', bundle]), { kind: 'done' })
  await t.rejects(run(create, ['--ca', join(folder, 'none')]), { code: 'bad-option', message: /no such file/ })
  t.match(await problemsOf(list, 'x'), [/unexpected/])
  t.match(await problemsOf(revoke), [/name the ids/])
  t.match(await problemsOf(revoke, '../etc'), [/is no id of a token/])
})

t.test('who cannot have both the token and its file has neither', async (t) => {
  const { folder, flags, tokens } = hub(t)
  const nowhere = join(leafFile(folder), 'token')
  await t.rejects(run(create, [...flags, '--out', nowhere]), { code: 'bad-option', message: /cannot be written to/ })
  t.strictSame(await linesOf(list, ['--tokens', tokens]), ['There are none.'])
  const out = join(folder, 'token')
  await t.rejects(run(create, [...flags, '--tokens', leafFile(folder), '--out', out]), { code: 'bad-option' })
  t.notOk(existsSync(out))
})

/** No folder. */
function leafFile(folder: string): string {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  return file
}

t.test('tokens are listed without their secrets, and taken back', async (t) => {
  const { flags, tokens } = hub(t)
  t.strictSame(await linesOf(list, ['--tokens', tokens], NOW), ['There are none.'])
  const [text = ''] = await linesOf(create, ['--name', 'a1', ...flags], NOW)
  const { id, secret } = readJoinToken(text)
  t.match(await linesOf(list, ['--tokens', tokens], NOW), [
    /^ID +STATE +CLUSTER +NAME +EXPIRES$/,
    new RegExp(`^${id} +unused +default +a1 +2030-01-01T00:15:00.000Z$`),
  ])
  const json = (await linesOf(list, ['--tokens', tokens, '-o', 'json'], NOW)).join('\n')
  t.match(JSON.parse(json), [
    { id, state: 'unused', cluster: 'default', name: 'a1', expires: '2030-01-01T00:15:00.000Z' },
  ])
  t.notOk(json.includes(secret))
  t.strictSame(await linesOf(revoke, [id, '--tokens', tokens], NOW), [`Revoked: ${id}.`])
  t.match(await run(revoke, [id, '--tokens', tokens], NOW), {
    kind: 'failed',
    warnings: [/there is no such token, or it has been used/],
  })
  t.match(findToken(tokens, id, secret, NOW), { kind: 'unknown' })
})
