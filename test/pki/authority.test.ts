import { createPrivateKey, X509Certificate } from 'node:crypto'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { DAY_MS, LONGEST_LIFETIME_MS } from '../../src/pki/lifetime.ts'
import { x509 } from '../../src/pki/x509.ts'

const NOW = Date.UTC(2030, 0, 2, 3, 4, 5, 678)

t.test('makes a self-signed P-256 CA that names its trust domain', async (t) => {
  const authority = await createAuthority({ trustDomain: 'hub.example', nowUnixMs: NOW })
  const certificate = new X509Certificate(authority.certificatePem)
  t.equal(authority.trustDomain, 'hub.example')
  t.equal(certificate.subjectAltName, 'URI:spiffe://hub.example')
  t.ok(certificate.ca)
  t.ok(certificate.checkIssued(certificate))
  t.ok(certificate.verify(certificate.publicKey))
  t.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  t.ok(certificate.checkPrivateKey(createPrivateKey(authority.keyPem)))
  t.match(authority.keyPem, /^-----BEGIN PRIVATE KEY-----\n/)
})

t.test('issues leaves only: no CA below it, no use of its key but to sign', async (t) => {
  const { certificatePem } = await createAuthority({ trustDomain: 'hub.example' })
  const certificate = new x509.X509Certificate(certificatePem)
  t.match(certificate.getExtension(x509.BasicConstraintsExtension), { ca: true, pathLength: 0, critical: true })
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags
  t.match(certificate.getExtension(x509.KeyUsagesExtension), { usages: keyCertSign | cRLSign, critical: true })
})

t.test('is valid from five minutes ago, in whole seconds, for ten years unless told otherwise', async (t) => {
  const { certificatePem } = await createAuthority({ trustDomain: 'hub.example', nowUnixMs: NOW })
  const { validFromDate, validToDate } = new X509Certificate(certificatePem)
  t.equal(validFromDate.toISOString(), '2030-01-02T02:59:05.000Z')
  t.equal(validToDate.getTime(), Math.floor(NOW / 1_000) * 1_000 + 3_650 * DAY_MS)
})

t.test('gives each certificate a serial number of its own', async (t) => {
  const serials = new Set<string>()
  for (let count = 0; count < 8; count++) {
    const { certificatePem } = await createAuthority({ trustDomain: 'hub.example' })
    serials.add(new X509Certificate(certificatePem).serialNumber)
  }
  t.equal(serials.size, 8)
  t.ok([...serials].every((serial) => serial.length > 24 && serial.length <= 32))
})

t.test('writes dates of this century and the next', async (t) => {
  const lifetimeMs = LONGEST_LIFETIME_MS
  const { certificatePem } = await createAuthority({ trustDomain: 'hub.example', lifetimeMs, nowUnixMs: NOW })
  t.equal(new X509Certificate(certificatePem).validToDate.getTime(), Math.floor(NOW / 1_000) * 1_000 + lifetimeMs)
})

t.test('refuses a lifetime out of range and a trust domain that is none', async (t) => {
  for (const lifetimeMs of [0, 999, -1, LONGEST_LIFETIME_MS + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
    await t.rejects(createAuthority({ trustDomain: 'hub.example', lifetimeMs }), {
      code: 'bad-option',
      message: /lifetime from 1s to 36500d/,
    })
  }
  await t.resolves(createAuthority({ trustDomain: 'hub.example', lifetimeMs: 1_000 }))
  await t.rejects(createAuthority({ trustDomain: 'Hub/Example' }), {
    code: 'bad-option',
    message: /trust domain such as/,
  })
})
