import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { identityText, summarize, summaryLines } from '../../src/pki/summary.ts'
import { leafWithNames } from './hostile.ts'

const NOW = Date.UTC(2030, 0, 1)
const authority = await createAuthority({ trustDomain: 'hub.example', nowUnixMs: NOW })
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const issued = await issueLeaf(authority, {
  identity,
  dnsNames: ['a1.example'],
  nowUnixMs: NOW,
  lifetimeMs: 10 * DAY_MS,
})
const leaf = new X509Certificate(issued.certificatePem)
const lines = (certificate: X509Certificate, nowUnixMs = NOW): string =>
  summaryLines(summarize(certificate, nowUnixMs, undefined), certificate.subjectAltName).join('\n')

t.test('says what a leaf is', async (t) => {
  t.match(summarize(leaf, NOW, undefined), {
    subject: 'O=culvert:agent, CN=a1',
    issuer: 'O=culvert, CN=Culvert hub CA',
    serialNumber: /^[0-9a-f]+$/,
    names: ['URI:spiffe://hub.example/cluster/eu-1/agent/a1', 'DNS:a1.example'],
    identity: { ...identity, trustDomain: 'hub.example' },
    notBefore: '2029-12-31T23:55:00Z',
    notAfter: '2030-01-11T00:00:00Z',
    daysLeft: 10,
    sha256: /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/,
    isAuthority: false,
  })
  t.match(lines(leaf), /role +agent a1 of cluster eu-1 in hub\.example\n/)
})

t.test('counts whole days, and none once expired', async (t) => {
  t.equal(summarize(leaf, NOW + 1, undefined).daysLeft, 9)
  t.equal(summarize(leaf, NOW + 10 * DAY_MS, undefined).daysLeft, 0)
  t.equal(summarize(leaf, NOW + 10 * DAY_MS + 1, undefined).daysLeft, -1)
  t.match(lines(leaf, NOW + 10 * DAY_MS + 1), /2030-01-11T00:00:00Z \(EXPIRED\)/)
})

t.test('says of a CA which trust domain it is of', async (t) => {
  const certificate = new X509Certificate(authority.certificatePem)
  t.match(lines(certificate), /role +CA of hub\.example\n/)
  t.match(summarize(certificate, NOW, 'hub.example'), { isAuthority: true, identity: { role: 'none' } })
})

t.test('lets nothing of a certificate control the terminal', async (t) => {
  const controls = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}]/u // but the ends of our own lines
  const value = 'spiffe://hub.example/\u001b[31m\u009b31m\u202e\u2028\r'
  const { certificatePem } = await leafWithNames(authority, [{ type: 'url', value }], NOW)
  t.notMatch(lines(new X509Certificate(certificatePem)), controls)
  const subject = { organization: 'a\u001b[31m\u009b\u202e', commonName: 'b\nc' }
  const named = await issueLeaf(authority, { subject, nowUnixMs: NOW })
  t.notMatch(lines(new X509Certificate(named.certificatePem)), controls)
})

t.test('has a sentence for each role', async (t) => {
  const trustDomain = 'hub.example'
  t.equal(identityText({ role: 'apiserver', cluster: 'c', trustDomain }), 'apiserver of cluster c in hub.example')
  t.equal(identityText({ role: 'user', name: 'u', trustDomain }), 'user u in hub.example')
  t.equal(identityText({ role: 'server', id: 's', trustDomain }), 'server s in hub.example')
  t.match(identityText({ role: 'none' }), /^none/)
  t.equal(identityText({ role: 'invalid', why: 'so' }), 'INVALID: so')
})
