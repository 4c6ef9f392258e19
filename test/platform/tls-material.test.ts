import { createPrivateKey, webcrypto } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { x509 } from '../../src/pki/x509.ts'
import { daysLeft, loadTls } from '../../src/platform/tls-material.ts'

const DAY_MS = 86_400_000
const authority = await createAuthority({ trustDomain: 'test' })
const leaf = await issueLeaf(authority, { dnsNames: ['localhost'] })
const other = await issueLeaf(authority, { dnsNames: ['localhost'] })

const ca = authority.certificatePem
const { certificatePem: cert, keyPem: key } = leaf

/** Writes what is given to files and loads those. */
function load(t: Test, contents: { cert?: string | Buffer; key?: string | Buffer; ca?: string | Buffer }) {
  const folder = t.testdir(contents)
  const files = Object.keys(contents).map((kind) => [kind, { flag: `--${kind}`, path: join(folder, kind) }])
  const loaded = loadTls(Object.fromEntries(files))
  return loaded.ok ? loaded : { ...loaded, problems: loaded.problems.map((line) => line.replaceAll(folder, '')) }
}

t.test('gives certificate, key and CA, or those of them that were asked for', async (t) => {
  t.strictSame(load(t, { cert, key, ca }), { ok: true, material: { cert, key, ca } })
  t.strictSame(load(t, { ca }), { ok: true, material: { ca } })
  t.strictSame(load(t, {}), { ok: true, material: {} })
})

t.test('takes chains, bundles, comments between the blocks and a byte order mark', async (t) => {
  t.match(load(t, { cert: `\ufeff# leaf\n${cert}# CA\n${ca}`, key, ca: `${ca}\n${ca}` }), { ok: true })
})

t.test('reports every mistake by its flag and file', async (t) => {
  const damaged = ca.replace(/MII.{20}/, (start) => start.replace(/./g, 'A'))
  t.strictSame(load(t, { cert: 'no certificate', key: 'canary', ca: `${ca}${damaged}` }), {
    ok: false,
    problems: [
      '--cert: /cert holds no certificate in PEM form',
      '--key: /key holds no private key in PEM form that can be read without a passphrase',
      '--ca: /ca holds a damaged certificate, number 2 of 2',
    ],
  })
})

t.test('refuses a key of another certificate', async (t) => {
  t.strictSame(load(t, { cert, key: other.keyPem, ca }), {
    ok: false,
    problems: ['--key: /key is not the key of the certificate /cert'],
  })
})

t.test('refuses a key that needs a passphrase instead of asking for it', async (t) => {
  const locked = createPrivateKey(key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
  t.match(load(t, { cert, key: locked }), { problems: [/^--key: .* without a passphrase$/] })
})

t.test('refuses a certificate that OpenSSL would not serve with', async (t) => {
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 1_024,
    publicExponent: Buffer.from([1, 0, 1]),
    hash: 'SHA-256',
  }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const short = await x509.X509CertificateGenerator.createSelfSigned({
    keys,
    name: 'CN=short',
    signingAlgorithm: algorithm,
  })
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  const pem = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' })
  t.match(load(t, { cert: short.toString('pem'), key: pem }), {
    problems: [/^--cert: \/cert cannot be used: .*key too small/],
  })
})

t.test('reports what cannot be read, and says nothing of the rest', async (t) => {
  const folder = t.testdir({ folder: {}, binary: Buffer.from([0x30, 0x82, 0xff]), long: ca.padEnd(1_048_577) })
  const loaded = loadTls({
    cert: { flag: '--cert', path: join(folder, 'missing') },
    key: { flag: '--key', path: join(folder, 'folder') },
    ca: { flag: '--ca', path: join(folder, 'binary') },
  })
  t.strictSame(loaded, {
    ok: false,
    problems: [
      `--cert: could not read ${join(folder, 'missing')}: there is no such file`,
      `--key: could not read ${join(folder, 'folder')}: it is no regular file`,
      `--ca: could not read ${join(folder, 'binary')}: it is not text, as PEM would be`,
    ],
  })
})

t.test('reads a file up to its limit and refuses one byte more', async (t) => {
  t.match(load(t, { ca: ca.padEnd(1_048_576) }), { ok: true })
  t.match(load(t, { ca: ca.padEnd(1_048_577) }), { problems: [/1048577 bytes are over the limit of 1048576/] })
})

t.test('counts the whole days that are left, below zero once there are none', async (t) => {
  const { certificatePem } = await issueLeaf(authority, { lifetimeMs: 10 * DAY_MS, nowUnixMs: Date.now() })
  const end = new x509.X509Certificate(certificatePem).notAfter.getTime()
  t.equal(daysLeft(certificatePem, end - 2 * DAY_MS), 2)
  t.equal(daysLeft(certificatePem, end - 2 * DAY_MS + 1), 1)
  t.equal(daysLeft(certificatePem, end + 1), -1)
})
