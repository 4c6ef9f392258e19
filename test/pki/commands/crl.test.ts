import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { signingKey } from '../../../src/pki/certificate.ts'
import { crl } from '../../../src/pki/commands/crl.ts'
import { updateList } from '../../../src/pki/revocation-list.ts'
import { writePair } from '../../../src/pki/store.ts'
import { x509 } from '../../../src/pki/x509.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const DAY_MS = 86_400_000
const NOW = Math.floor(Date.now() / 1000) * 1000
const authority = await createAuthority({ trustDomain: 'hub.example' })

/** The folder of a CA, whose list has one number and two days, and the path of that. */
async function folderOf(t: Test): Promise<{ readonly folder: string; readonly file: string }> {
  const folder = t.testdir()
  writePair(folder, 'ca', authority, 'keep')
  await updateList(folder, authority, { serials: ['01'], lifetimeMs: 2 * DAY_MS, nowUnixMs: NOW })
  return { folder, file: join(folder, 'crl.pem') }
}

t.test('shows the list for people and for scripts, and when it is out of date', async (t) => {
  const { folder, file } = await folderOf(t)
  const before = readFileSync(file)
  t.match(await run(crl, ['--dir', folder], NOW), {
    lines: [/list number 1, 1 revoked, .* \(2 days left\)$/, /^ {2}01 {2}20/],
  })
  t.match(await run(crl, ['--dir', folder], NOW + 3 * DAY_MS), {
    lines: [/EXPIRED: sign it anew with --refresh/, /01/],
  })
  const outcome = await run(crl, ['--dir', folder, '-o', 'json'], NOW + 3 * DAY_MS)
  t.strictSame(outcome.kind === 'done' && JSON.parse(outcome.lines.join('\n')), {
    file,
    number: 1,
    thisUpdate: new Date(NOW - 300_000).toISOString(),
    nextUpdate: new Date(NOW + 2 * DAY_MS).toISOString(),
    expired: true,
    revoked: [{ serialNumber: '01', revokedAt: new Date(NOW).toISOString() }],
  })
  t.strictSame(readFileSync(file), before, 'as it was')
})

t.test('signs the list anew with another end, and keeps what is in it', async (t) => {
  const { folder } = await folderOf(t)
  t.match(await run(crl, ['--refresh', '--lifetime', '10d', '--dir', folder], NOW + DAY_MS), {
    kind: 'done',
    lines: [/list number 2, 1 revoked, .* \(10 days left\)$/, /^ {2}01 {2}/],
  })
})

t.test('says of a list without an end that it has none', async (t) => {
  const { folder, file } = await folderOf(t)
  const issuer = new x509.X509Certificate(authority.certificatePem)
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate: new Date(NOW),
    signingKey: signingKey(authority.keyPem),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  })
  writeFileSync(file, x509.PemConverter.encode(list.rawData, 'X509 CRL'))
  t.match(await run(crl, ['--dir', folder], NOW), { lines: [`${file}: list number 0, 0 revoked, valid for ever`] })
  const outcome = await run(crl, ['--dir', folder, '-o', 'json'], NOW)
  t.match(outcome.kind === 'done' && JSON.parse(outcome.lines.join('\n')), { nextUpdate: null, expired: false })
})

t.test('refuses what is wrong before it changes anything', async (t) => {
  const { folder, file } = await folderOf(t)
  t.strictSame(await problemsOf(crl, 'x'), ['"x": unexpected; crl takes flags only'])
  t.match(await problemsOf(crl, '--refresh', '--lifetime', 'soon', '--dir', folder), [/^--lifetime: expected /])
  const empty = join(folder, 'empty')
  await t.rejects(run(crl, ['--refresh', '--dir', empty]), { code: 'bad-option', message: /there is no CA here/ })
  t.notOk(existsSync(empty))
  writeFileSync(file, 'broken')
  for (const flags of [[], ['--refresh']]) {
    await t.rejects(run(crl, [...flags, '--dir', folder]), { message: /crl\.pem: holds no revocation list/ })
  }
  t.equal(readFileSync(file, 'utf8'), 'broken')
})
