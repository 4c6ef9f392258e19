import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { crl } from '../../../src/pki/commands/crl.ts'
import { revoke } from '../../../src/pki/commands/revoke.ts'
import { issueLeaf } from '../../../src/pki/leaf.ts'
import { writePair } from '../../../src/pki/store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Math.floor(Date.now() / 1000) * 1000
const authority = await createAuthority({ trustDomain: 'hub.example' })
const leaf = await issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } })

function folderOf(t: Test): { readonly folder: string; readonly file: string } {
  const folder = t.testdir()
  writePair(folder, 'ca', authority, 'keep')
  return { folder, file: writePair(folder, 'a1', leaf, 'keep').certificateFile }
}

t.test('wants something to revoke, which can be that', async (t) => {
  const { folder, file } = folderOf(t)
  t.strictSame(await problemsOf(revoke), ['name the certificate files or serial numbers'])
  const refused = (word: string, message: RegExp) =>
    t.rejects(run(revoke, [word, '--dir', folder]), { code: 'bad-option', message }, word)
  await refused('nobody.crt', /is neither a certificate file nor a serial number/)
  await refused(join(folder, 'ca.crt'), /is the CA itself/)
  const other = await createAuthority({ trustDomain: 'hub.example' })
  const foreign = writePair(folder, 'b1', await issueLeaf(other, {}), 'keep').certificateFile
  await refused(foreign, /was not issued by this CA/)
  await t.rejects(run(revoke, [file, foreign, '--dir', folder]), { code: 'bad-option' })
  t.match(await run(crl, ['--dir', folder]), { kind: 'failed', warnings: [/there is none yet: --refresh makes/] })
})

t.test('revokes files and serial numbers, once, and OpenSSL agrees', async (t) => {
  const { folder, file } = folderOf(t)
  const list = join(folder, 'crl.pem')
  const args = ['verify', '-crl_check', '-CAfile', join(folder, 'ca.crt'), '-CRLfile', list, file]
  t.match(await run(crl, ['--refresh', '--dir', folder], NOW), { kind: 'done', lines: [/list number 1, 0 revoked/] })
  execFileSync('openssl', args, { stdio: 'pipe' })
  t.match(await run(revoke, [file, 'ab:cd', '--dir', folder], NOW), {
    kind: 'done',
    lines: [
      /^Revoked: agent a1 of cluster eu-1 in hub.example, serial number [0-9a-f]{32}\.$/,
      'Revoked: serial number abcd.',
      /crl\.pem {2}2 revoked, valid until /,
    ],
  })
  t.equal(statSync(list).mode & 0o777, 0o644)
  t.throws(() => execFileSync('openssl', args, { stdio: 'pipe' }), /certificate revoked/)
  t.match(await run(revoke, ['ABCD', '--dir', folder], NOW), {
    lines: ['Was revoked before: serial number abcd.', /2 revoked/],
  })
})
