import { chmodSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Authority, createAuthority } from '../../src/pki/authority.ts'
import { newKeys } from '../../src/pki/certificate.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { readAuthority, writeAuthorityCertificate, writePair } from '../../src/pki/store.ts'
import { x509 } from '../../src/pki/x509.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const other = await createAuthority({ trustDomain: 'other.example' })
const leaf = await issueLeaf(authority, {})
const bits = (path: string): string => (statSync(path).mode & 0o777).toString(8)

function folderWith(t: Test, made: Authority): string {
  const folder = join(t.testdir(), 'pki')
  writePair(folder, 'ca', made, 'keep')
  return folder
}

t.test('writes a key for its owner only, in a folder for its owner only, and nothing else', async (t) => {
  const folder = join(t.testdir(), 'deep', 'pki')
  const files = writePair(folder, 'a', leaf, 'keep')
  t.strictSame(files, { certificateFile: join(folder, 'a.crt'), keyFile: join(folder, 'a.key') })
  t.equal(bits(files.keyFile), '600')
  t.equal(bits(folder), '700')
  t.strictSame(readdirSync(folder).sort(), ['a.crt', 'a.key'])
  t.equal(readFileSync(files.keyFile, 'utf8'), leaf.keyPem)
  t.equal(readFileSync(files.certificateFile, 'utf8'), leaf.certificatePem)
})

t.test('leaves the permissions of a folder that it did not make', async (t) => {
  const folder = t.testdir()
  chmodSync(folder, 0o755)
  writePair(folder, 'a', leaf, 'keep')
  t.equal(bits(folder), '755')
})

t.test('keeps what exists, names all of it, and writes neither file then', async (t) => {
  const folder = t.testdir({ 'a.crt': 'mine', 'b.key': 'mine' })
  t.throws(() => writePair(folder, 'a', leaf, 'keep'), {
    code: 'bad-option',
    message: /a\.crt exists already: .*--force/,
  })
  t.throws(() => writePair(folder, 'b', leaf, 'keep'), { code: 'bad-option', message: /b\.key exists already/ })
  t.strictSame(readdirSync(folder).sort(), ['a.crt', 'b.key'])
  t.equal(readFileSync(join(folder, 'a.crt'), 'utf8'), 'mine')
  writePair(folder, 'c', leaf, 'keep')
  t.throws(() => writePair(folder, 'c', leaf, 'keep'), { message: /c\.key and .*c\.crt exist already/ })
})

t.test('takes back the first file when the second comes into being meanwhile', async (t) => {
  const folder = t.testdir()
  symlinkSync(join(folder, 'nowhere'), join(folder, 'a.crt')) // not seen by a look, but in the way of the file
  t.throws(() => writePair(folder, 'a', leaf, 'keep'), { code: 'bad-option', message: /a\.crt exists already/ })
  t.strictSame(readdirSync(folder), ['a.crt'])
})

t.test('replaces both files when told to, also those that others may read', async (t) => {
  const folder = t.testdir({ 'a.crt': 'old', 'a.key': 'old' })
  chmodSync(join(folder, 'a.key'), 0o644)
  const { keyFile, certificateFile } = writePair(folder, 'a', leaf, 'replace')
  t.equal(bits(keyFile), '600')
  t.equal(readFileSync(certificateFile, 'utf8'), leaf.certificatePem)
  t.strictSame(readdirSync(folder).sort(), ['a.crt', 'a.key'])
})

t.test('says why a folder cannot be written to', async (t) => {
  const file = join(t.testdir({ file: '' }), 'file')
  for (const folder of [file, join(file, 'deeper')]) {
    for (const existing of ['keep', 'replace'] as const) {
      t.throws(() => writePair(folder, 'a', leaf, existing), { code: 'bad-option', message: /cannot be written to: / })
    }
  }
  const taken = t.testdir({ 'a.crt': {} })
  t.throws(() => writePair(taken, 'a', leaf, 'replace'), { code: 'bad-option', message: /cannot be written to: / })
  t.notOk(
    readdirSync(taken).some((name) => name.endsWith('.new')),
    'nothing half-written is left',
  )
})

t.test('reads back the CA that it wrote', async (t) => {
  t.strictSame(readAuthority(folderWith(t, authority)), { ...authority })
})

t.test('puts the certificate of the CA beside leaves once, and never over that of another', async (t) => {
  const folder = t.testdir()
  const file = writeAuthorityCertificate(folder, authority, 'keep')
  t.equal(writeAuthorityCertificate(folder, authority, 'keep'), file)
  t.throws(() => writeAuthorityCertificate(folder, other, 'keep'), {
    code: 'bad-option',
    message: /ca\.crt exists already/,
  })
  t.equal(readFileSync(file, 'utf8'), authority.certificatePem)
  writeAuthorityCertificate(folder, other, 'replace')
  t.equal(readFileSync(file, 'utf8'), other.certificatePem)
  t.notOk(existsSync(join(folder, 'ca.key')))
})

t.test('refuses a folder that holds no usable CA', async (t) => {
  t.throws(() => readAuthority(join(t.testdir(), 'none')), { code: 'bad-option', message: /culvert pki init --dir / })

  const mixed = folderWith(t, authority)
  writeFileSync(join(mixed, 'ca.key'), other.keyPem)
  t.throws(() => readAuthority(mixed), { code: 'bad-option', message: /ca\.key: does not belong to / })

  const notAuthority = folderWith(t, { ...authority, ...leaf })
  t.throws(() => readAuthority(notAuthority), { code: 'bad-option', message: /is not the certificate of a CA/ })
})

t.test('takes the trust domain of a CA made elsewhere from the caller, and only of such', async (t) => {
  t.throws(() => readAuthority(folderWith(t, authority), 'other.example'), {
    message: /is the CA of hub\.example, not of other\.example/,
  })
  const keys = await newKeys()
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=elsewhere',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`
  const folder = folderWith(t, { trustDomain: '', certificatePem: made.toString('pem'), keyPem })
  t.throws(() => readAuthority(folder), {
    code: 'bad-option',
    message: /names no trust domain: give it by --trust-domain/,
  })
  t.equal(readAuthority(folder, 'hub.example').trustDomain, 'hub.example')
})
