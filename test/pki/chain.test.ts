import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { chainTo, namesOf } from '../../src/pki/chain.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { openSslCa } from '../integration/openssl.ts'

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

t.test('reads the names by which a list knows a certificate', async (t) => {
  const root = openSslCa(t)
  const leaf = file(root.issue('leaf', 'DNS:x').certFile)
  const { issuer, subject, serial } = namesOf(leaf)
  t.equal(issuer, namesOf(file(root.certFile)).subject)
  t.not(subject, issuer)
  t.equal(serial.replace(/^00/, ''), leaf.serialNumber.toLowerCase())
})
