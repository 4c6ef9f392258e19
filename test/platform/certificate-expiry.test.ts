import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { certificateSeconds } from '../../src/platform/certificate-expiry.ts'

const DAY_MS = 86_400_000
const nowUnixMs = Date.UTC(2026, 0, 1)
const authority = await createAuthority({ trustDomain: 'hub.example', nowUnixMs })
const { certificatePem: leaf } = await issueLeaf(authority, { lifetimeMs: DAY_MS, nowUnixMs })

t.test('says how long each certificate is good, and that one is no longer', async (t) => {
  t.strictSame(certificateSeconds({ 'server-cert': leaf }, nowUnixMs), { 'server-cert': 86_400 })
  t.strictSame(certificateSeconds({ 'server-cert': leaf }, nowUnixMs + DAY_MS), { 'server-cert': 0 })
  t.strictSame(certificateSeconds({ 'server-cert': leaf }, nowUnixMs + DAY_MS + 1), { 'server-cert': -1 })
})

t.test('leaves out what is not in use', async (t) => {
  t.strictSame(certificateSeconds({ 'server-cert': undefined, 'cluster-cert': leaf }, nowUnixMs), {
    'cluster-cert': 86_400,
  })
  t.strictSame(certificateSeconds({}, nowUnixMs), {})
})

t.test('looks at all of a chain or a bundle, and says when the first of them ends', async (t) => {
  const chain = `subject=leaf\n${leaf}\n${authority.certificatePem}`
  t.strictSame(certificateSeconds({ 'server-cert': chain }, nowUnixMs), { 'server-cert': 86_400 })
  const bundle = authority.certificatePem + leaf
  t.strictSame(certificateSeconds({ 'server-ca-cert': bundle }, nowUnixMs), { 'server-ca-cert': 86_400 })
})
