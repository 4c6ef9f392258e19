import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { certify, distinguishedName, newKeys, validity } from '../../src/pki/certificate.ts'
import { chainTo, namesOf } from '../../src/pki/chain.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { x509 } from '../../src/pki/x509.ts'
import { openSslCa } from '../integration/openssl.ts'
import { processorMs } from '../platform/processor-time.ts'

const fingerprints = (chain: readonly X509Certificate[] | undefined) => chain?.map((one) => one.fingerprint256)
const file = (path: string) => new X509Certificate(readFileSync(path))

t.test('finds the CA by its key, also among two of one name', async (t) => {
  const [one, two] = await Promise.all([1, 2].map(() => createAuthority({ trustDomain: 'hub.example' })))
  const [first, second] = [one!, two!].map(({ certificatePem }) => new X509Certificate(certificatePem))
  const leaf = new X509Certificate((await issueLeaf(two!, { identity: { role: 'user', name: 'a' } })).certificatePem)
  t.strictSame(fingerprints(chainTo(leaf, [first!, second!])), fingerprints([leaf, second!]))
  t.equal(chainTo(leaf, [first!]), undefined)
  t.equal(chainTo(leaf, []), undefined)
  t.strictSame(fingerprints(chainTo(second!, [second!])), fingerprints([second!, second!]))
})

t.test('goes over an intermediate of the bundle to a root of it, and never ends at the intermediate', async (t) => {
  const root = openSslCa(t)
  const below = root.intermediate('below')
  const leaf = file(below.issue('leaf', 'DNS:x').certFile)
  const [top, middle] = [file(root.certFile), file(below.certFile)]
  t.strictSame(fingerprints(chainTo(leaf, [middle, top])), fingerprints([leaf, middle, top]))
  t.equal(chainTo(leaf, [middle]), undefined)
  t.equal(chainTo(leaf, [top]), undefined, 'nobody brought the intermediate along')
  t.equal(chainTo(file(root.issue('other', 'DNS:x').certFile), [middle]), undefined)
})

t.test('takes nobody for a CA who is none, or has only the name of one', async (t) => {
  const noIds = 'subjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n' // by which OpenSSL would tell them apart before
  const [root, twin] = [openSslCa(t), openSslCa(t)]
  const plain = root.intermediate('plain', `basicConstraints=CA:FALSE\n${noIds}`)
  const below = file(plain.certify('below', noIds).certFile)
  const [top, middle, other] = [root, plain, twin].map(({ certFile }) => file(certFile))
  t.ok(below.checkIssued(middle!) && below.verify(middle!.publicKey), 'it would be one')
  t.equal(chainTo(below, [top!], [middle!]), undefined)
  const leaf = file(root.certify('leaf', noIds).certFile)
  t.ok(leaf.checkIssued(other!) && !leaf.verify(other!.publicKey), 'of the same name')
  t.equal(chainTo(leaf, [other!]), undefined)
  t.strictSame(fingerprints(chainTo(leaf, [other!, top!])), fingerprints([leaf, top!]))
})

t.test('passes over an issuer whose key cannot be decoded', async (t) => {
  const root = openSslCa(t)
  const below = root.intermediate('below')
  const leaf = file(below.issue('leaf', 'DNS:x').certFile)
  const [top, middle] = [file(root.certFile), file(below.certFile)]
  const der = Buffer.from(middle.raw)
  der[der.indexOf(Buffer.from('2b81040022', 'hex')) + 4] = 0x7f // a curve that there is not
  const bad = new X509Certificate(der)
  t.throws(() => bad.publicKey, 'it is such a one')
  t.equal(chainTo(leaf, [top], [bad]), undefined)
  t.strictSame(fingerprints(chainTo(leaf, [top], [bad, middle])), fingerprints([leaf, middle, top]))
})

t.test('takes of two certificates of one CA and key the one that is good for longer', async (t) => {
  const { old, renewed, leaf } = await renewedAuthority()
  t.strictSame(fingerprints(chainTo(leaf, [old, renewed])), fingerprints([leaf, renewed]))
  t.strictSame(fingerprints(chainTo(leaf, [renewed, old])), fingerprints([leaf, renewed]))
  t.strictSame(fingerprints(chainTo(leaf, [old])), fingerprints([leaf, old]))
})

t.test('gives certificates up that have all issued each other, soon', async (t) => {
  const { leaf, crossed } = await crossSigned()
  const trusted = new X509Certificate((await createAuthority({ trustDomain: 'hub.example' })).certificatePem)
  const tookMs = processorMs(() => t.equal(chainTo(leaf, [trusted], crossed), undefined))
  t.ok(tookMs < 2_000, 'a way through all orders of them is 100,000 signatures long')
  t.strictSame(fingerprints(chainTo(leaf, [crossed[7]!], crossed)), fingerprints([leaf, crossed[7]!]), 'one is enough')
})

t.test('reads the names by which a list knows a certificate', async (t) => {
  const root = openSslCa(t)
  const leaf = file(root.issue('leaf', 'DNS:x').certFile)
  const { issuer, subject, serial } = namesOf(leaf)
  t.equal(issuer, namesOf(file(root.certFile)).subject)
  t.not(subject, issuer)
  t.equal(serial.replace(/^00/, ''), leaf.serialNumber.toLowerCase())
})

/** A CA that was renewed with the key that it had, and a leaf that says nothing of its issuer's key but by its signature. */
async function renewedAuthority() {
  const keys = await newKeys()
  const name = distinguishedName({ organization: 'renewed' })
  const extensions = [new x509.BasicConstraintsExtension(true, 0, true)]
  const made = (days: number) =>
    certify(
      { ...validity(Date.now(), days * DAY_MS), subject: name, extensions },
      keys.publicKey,
      name,
      keys.privateKey,
    )
  const leafKeys = await newKeys()
  const subject = distinguishedName({ organization: 'leaf' })
  const leaf = await certify(
    { ...validity(Date.now(), 10 * DAY_MS), subject, extensions: [] },
    leafKeys.publicKey,
    name,
    keys.privateKey,
  )
  const [old, renewed, issued] = [await made(2), await made(20), leaf].map((pem) => new X509Certificate(pem))
  return { old: old!, renewed: renewed!, leaf: issued! }
}

/** Eight CAs of one name and one key: each could have issued each. */
async function crossSigned() {
  const [keys, leafKeys] = [await newKeys(), await newKeys()]
  const name = distinguishedName({ organization: 'crossed' })
  const extensions = [new x509.BasicConstraintsExtension(true, undefined, true)]
  const times = validity(Date.now(), DAY_MS)
  const crossed = await Promise.all(
    Array.from({ length: 8 }, () =>
      certify({ ...times, subject: name, extensions }, keys.publicKey, name, keys.privateKey),
    ),
  )
  const subject = distinguishedName({ organization: 'leaf' })
  const leaf = await certify({ ...times, subject, extensions: [] }, leafKeys.publicKey, name, keys.privateKey)
  return {
    leaf: new X509Certificate(leaf),
    crossed: crossed.map((pem) => new X509Certificate(pem)),
  }
}
