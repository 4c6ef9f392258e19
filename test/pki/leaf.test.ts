import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { newKeys } from '../../src/pki/certificate.ts'
import { readIdentity } from '../../src/pki/identity.ts'
import { issueLeaf, type LeafRequest } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { USAGES } from '../../src/pki/usage.ts'
import { x509 } from '../../src/pki/x509.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const authorityCertificate = new X509Certificate(authority.certificatePem)
const issued = async (request: LeafRequest) => new X509Certificate((await issueLeaf(authority, request)).certificatePem)

const agent = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const server = { role: 'server', id: 'hub-0' } as const

t.test('issues a leaf that the CA signed, with a P-256 key of its own', async (t) => {
  const { certificatePem, keyPem } = await issueLeaf(authority, { identity: agent })
  const leaf = new X509Certificate(certificatePem)
  t.ok(leaf.checkIssued(authorityCertificate))
  t.ok(leaf.verify(authorityCertificate.publicKey))
  t.notOk(leaf.ca)
  t.equal(leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  t.ok(leaf.checkPrivateKey(createPrivateKey(keyPem)))
  t.match(keyPem, /^-----BEGIN PRIVATE KEY-----\n/)
  t.strictSame(readIdentity(leaf.subjectAltName, 'hub.example'), { ...agent, trustDomain: 'hub.example' })
})

t.test("repeats the CA's key identifier, and the CA's name byte for byte", async (t) => {
  const { certificatePem } = await issueLeaf(authority, { identity: agent })
  const leaf = new x509.X509Certificate(certificatePem)
  const issuer = new x509.X509Certificate(authority.certificatePem)
  t.equal(
    leaf.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
    issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
  )
  t.same(Buffer.from(leaf.issuerName.toArrayBuffer()), Buffer.from(issuer.subjectName.toArrayBuffer()))
  t.ok(leaf.getExtension(x509.SubjectKeyIdentifierExtension))
  t.equal(leaf.getExtension(x509.KeyUsagesExtension)?.usages, x509.KeyUsageFlags.digitalSignature)
})

t.test('lets a server serve and the others connect', async (t) => {
  const [serve, connect] = [USAGES.serve.oid, USAGES.connect.oid]
  t.strictSame((await issued({ identity: server, dnsNames: ['hub.example'] })).keyUsage, [serve])
  t.strictSame((await issued({ identity: agent })).keyUsage, [connect])
  t.strictSame((await issued({ identity: { role: 'user', name: 'a' } })).keyUsage, [connect])
  t.strictSame((await issued({ identity: { role: 'apiserver', cluster: 'c' } })).keyUsage, [connect])
  t.strictSame((await issued({ identity: agent, ipAddresses: ['::1'] })).keyUsage, [connect, serve])
  t.strictSame((await issued({ identity: server, usages: ['connect'] })).keyUsage, [connect])
})

t.test('carries every DNS name and address, in whatever form the address was written', async (t) => {
  const dnsNames = ['localhost', '*.Hub.example']
  const ipAddresses = ['127.0.0.1', '::1', '2001:db8::192.0.2.7', '1:2:3:4:5:6:7:8', '::']
  const leaf = await issued({ identity: server, dnsNames, ipAddresses })
  for (const address of ipAddresses) t.equal(leaf.checkIP(address), address)
  t.equal(leaf.checkIP('127.0.0.2'), undefined)
  t.ok(leaf.checkHost('localhost'))
  t.ok(leaf.checkHost('a.hub.example'))
  t.equal(leaf.checkHost('hub.example'), undefined)
})

t.test('issues without an identity what the reference would: no names at all', async (t) => {
  const leaf = await issued({})
  t.equal(leaf.subjectAltName, undefined)
  t.strictSame(readIdentity(leaf.subjectAltName, 'hub.example'), { role: 'none' })
})

t.test(
  'takes the subject given, whatever it begins with, and leaves out a common name too long for X.509',
  async (t) => {
    const subject = { commonName: '#61:"x", O=y', organization: 'system:nodes' }
    const named = await issued({ subject })
    t.same(named.toLegacyObject().subject, { O: subject.organization, CN: subject.commonName })
    t.match((await issued({ identity: { role: 'user', name: 'u'.repeat(64) } })).subject, /CN=u{64}$/)
    t.notMatch((await issued({ identity: { role: 'user', name: 'u'.repeat(65) } })).subject, /CN=/)
  },
)

t.test('is valid for a year from now unless told otherwise, and back-dated', async (t) => {
  const nowUnixMs = Math.floor(Date.now() / 1_000) * 1_000
  const { validFromDate, validToDate } = await issued({ identity: agent, nowUnixMs })
  t.equal(validFromDate.getTime(), nowUnixMs - 300_000)
  t.equal(validToDate.getTime(), nowUnixMs + 365 * DAY_MS)
})

t.test('never outlives the CA, and is not issued by an expired one', async (t) => {
  const nowUnixMs = Date.UTC(2030, 0, 1)
  const short = await createAuthority({ trustDomain: 'hub.example', lifetimeMs: 10 * DAY_MS, nowUnixMs })
  const { certificatePem } = await issueLeaf(short, { identity: agent, lifetimeMs: 11 * DAY_MS, nowUnixMs })
  t.equal(new X509Certificate(certificatePem).validToDate.getTime(), nowUnixMs + 10 * DAY_MS)
  await t.resolves(issueLeaf(short, { identity: agent, nowUnixMs: nowUnixMs + 10 * DAY_MS - 1 }))
  await t.rejects(issueLeaf(short, { identity: agent, nowUnixMs: nowUnixMs + 10 * DAY_MS }), {
    code: 'bad-option',
    message: /the CA expired at 2030-01-11/,
  })
})

t.test('refuses what cannot become a certificate', async (t) => {
  const refused: readonly (readonly [LeafRequest, RegExp])[] = [
    [{ identity: { role: 'apiserver', cluster: 'a.b' } }, /DNS label/],
    [{ dnsNames: ['a b'] }, /expected a DNS name, got "a b"/],
    [{ dnsNames: ['10.0.0.7'] }, /expected a DNS name/],
    [{ ipAddresses: ['hub.example'] }, /expected an IP address, got "hub.example"/],
    [{ lifetimeMs: 10 }, /lifetime from 1s/],
  ]
  for (const [request, message] of refused) {
    await t.rejects(issueLeaf(authority, request), { code: 'bad-option', message })
  }
})

t.test('issues from a CA made elsewhere, with another key identifier or none', async (t) => {
  const keys = await newKeys()
  for (const identifiers of [[], [new x509.SubjectKeyIdentifierExtension('0102030405060708')]]) {
    const foreign = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Müller & Söhne, C=DE',
      keys,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true), ...identifiers],
    })
    const certificatePem = foreign.toString('pem')
    const keyPem = createPrivateKey({
      key: Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)),
      format: 'der',
      type: 'pkcs8',
    })
      .export({ format: 'pem', type: 'sec1' })
      .toString()
    const pair = await issueLeaf({ trustDomain: 'hub.example', certificatePem, keyPem }, { identity: agent })
    const issuer = new X509Certificate(certificatePem)
    const leaf = new X509Certificate(pair.certificatePem)
    t.ok(leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey))
  }
})

t.test('refuses the key of a CA that is no P-256 key, without showing it', async (t) => {
  const options = { privateKeyEncoding: { type: 'pkcs8', format: 'pem' } } as const
  const publicKeyEncoding = { type: 'spki', format: 'pem' } as const
  const { privateKey } = generateKeyPairSync('ed25519', { ...options, publicKeyEncoding })
  for (const keyPem of [privateKey, 'nonsense']) {
    await t.rejects(issueLeaf({ ...authority, keyPem }, {}), {
      code: 'bad-option',
      message: /not an unencrypted ECDSA P-256/,
    })
  }
})
