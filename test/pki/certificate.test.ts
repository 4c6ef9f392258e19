import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import t from 'tap'
import { distinguishedName, newKeys, sign, signingKey, validity } from '../../src/pki/certificate.ts'
import { CLOCK_SKEW_MS, LONGEST_LIFETIME_MS } from '../../src/pki/lifetime.ts'
import { x509 } from '../../src/pki/x509.ts'

const NOW = Date.UTC(2030, 0, 2)

t.test('signs with a P-256 key, in PKCS#8 or as OpenSSL writes it', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  for (const type of ['pkcs8', 'sec1'] as const) {
    const key = signingKey(privateKey.export({ type, format: 'pem' }).toString())
    t.strictSame(
      [key.algorithm, key.extractable, key.usages],
      [{ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']],
    )
  }
})

t.test('signs with no other key, and shows nothing of it', async (t) => {
  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const locked = ec.privateKey.export({ ...pkcs8, cipher: 'aes-256-cbc', passphrase: 'hunter2' }).toString()
  for (const [what, pem] of [
    ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(pkcs8).toString()],
    ['Ed25519', generateKeyPairSync('ed25519').privateKey.export(pkcs8).toString()],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pkcs8).toString()],
    ['public', ec.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
    ['encrypted', locked],
    ['cut', locked.slice(0, 100)],
    ['empty', ''],
  ] as const) {
    const message = 'the key of the CA is not an unencrypted ECDSA P-256 key in PEM'
    t.throws(() => signingKey(pem), { code: 'bad-option', message }, what)
  }
})

t.test('is valid from a little before now, for a lifetime within the limits', async (t) => {
  for (const lifetimeMs of [1_000, LONGEST_LIFETIME_MS]) {
    const { notBefore, notAfter } = validity(NOW, lifetimeMs)
    t.strictSame([notBefore.getTime(), notAfter.getTime()], [NOW - CLOCK_SKEW_MS, NOW + lifetimeMs])
  }
  for (const lifetimeMs of [999, LONGEST_LIFETIME_MS + 1, Number.NaN]) {
    const message = `expected a lifetime from 1s to 36500d, such as 365d or 24h, got ${lifetimeMs} ms`
    t.throws(() => validity(NOW, lifetimeMs), { code: 'bad-option', message })
  }
})

/** A certificate of this subject as Node reads it, signed by a key of its own. */
async function certificateOf(commonName: string | undefined, organization: string) {
  const keys = await newKeys()
  const subject = distinguishedName({ commonName, organization })
  const { certificatePem, keyPem } = await sign(
    { ...validity(NOW, 1_000), subject, extensions: [] },
    keys,
    subject,
    keys.privateKey,
  )
  const nodes = new X509Certificate(certificatePem)
  return { certificatePem, keyPem, nodes, fields: nodes.toLegacyObject().subject }
}

t.test('carries a name as it is given, whatever it looks like', async (t) => {
  for (const name of ['#0c0161', 'a,b=c+d', ' "quoted" \\ ', 'CN=x', 'ö漢', '*']) {
    const { fields } = await certificateOf(name, `of ${name}`)
    t.strictSame({ ...fields }, { O: `of ${name}`, CN: name })
  }
  t.strictSame({ ...(await certificateOf(undefined, 'hub')).fields }, { O: 'hub' })
})

t.test('belongs to its key, which is written in PKCS#8', async (t) => {
  const { nodes, keyPem, certificatePem } = await certificateOf('a', 'b')
  t.match(keyPem, /^-----BEGIN PRIVATE KEY-----\n[\s\S]+\n-----END PRIVATE KEY-----\n$/)
  t.match(certificatePem, /^-----BEGIN CERTIFICATE-----\n[\s\S]+\n-----END CERTIFICATE-----\n$/)
  t.ok(nodes.checkPrivateKey(createPrivateKey(keyPem)))
  t.ok(nodes.verify(nodes.publicKey))
  t.equal(nodes.validToDate.getTime(), NOW + 1_000)
})

t.test('repeats the name of the issuer byte for byte, however that is encoded', async (t) => {
  const keys = await newKeys()
  const issuer = new x509.Name([{ CN: [{ printableString: 'Old CA' }] }, { O: [{ printableString: 'hub' }] }])
  const subject = distinguishedName({ organization: 'b' })
  const made = await sign({ ...validity(NOW, 1_000), subject, extensions: [] }, keys, issuer, keys.privateKey)
  const raw = new X509Certificate(made.certificatePem).raw
  t.ok(raw.includes(Buffer.from(issuer.toArrayBuffer())))
})
