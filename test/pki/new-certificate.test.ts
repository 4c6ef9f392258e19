import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { MAX_CHAIN_LENGTH } from '../../src/pki/chain.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { MAX_NEW_CERTIFICATE_BYTES, readNewCertificate, writeNewCertificate } from '../../src/pki/new-certificate.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const { certificatePem: leaf } = await issueLeaf(authority, {
  identity: { role: 'agent', cluster: 'eu-1', name: 'a1' },
})
const proof = Buffer.from('a proof')
const shown = (pem: string) => readNewCertificate(writeNewCertificate(pem, proof))

t.test('what is written is read: the leaf, what it brings along, and the proof', async (t) => {
  const read = shown(leaf + authority.certificatePem)
  t.equal(read?.leaf.fingerprint256, new X509Certificate(leaf).fingerprint256)
  t.strictSame(
    read?.brought.map(({ fingerprint256 }) => fingerprint256),
    [new X509Certificate(authority.certificatePem).fingerprint256],
  )
  t.strictSame(read?.proof, proof)
})

t.test('a leaf comes with so many at most, which fit', async (t) => {
  const most = leaf + authority.certificatePem.repeat(MAX_CHAIN_LENGTH)
  t.equal(shown(most)?.brought.length, MAX_CHAIN_LENGTH)
  t.equal(shown(most + authority.certificatePem), undefined)
  t.ok(writeNewCertificate(most, proof).length < MAX_NEW_CERTIFICATE_BYTES)
})

t.test('what is none is none', async (t) => {
  for (const body of [
    '',
    'null',
    '[]',
    '{}',
    '{"certificate":"x"}',
    JSON.stringify({ certificate: leaf.replace('M', '!') }),
  ]) {
    t.equal(readNewCertificate(body), undefined, body)
  }
})
