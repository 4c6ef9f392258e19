import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Name } from '@peculiar/x509'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import {
  type CertificateAndKey,
  distinguishedName,
  newKeys,
  sign,
  signingKey,
  validity,
} from '../../src/pki/certificate.ts'
import { checkLeaf, type Expected } from '../../src/pki/check.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { splitCertificates } from '../../src/pki/pem.ts'
import { x509 } from '../../src/pki/x509.ts'
import { openSslCa } from '../integration/openssl.ts'
import { leafWithNames } from './hostile.ts'

const NOW = Date.UTC(2030, 0, 1)
const trustDomain = 'hub.example'
const authority = await createAuthority({ trustDomain, nowUnixMs: NOW, lifetimeMs: 100 * DAY_MS })
const other = await createAuthority({ trustDomain, nowUnixMs: NOW })
const agent = await issueLeaf(authority, {
  identity: { role: 'agent', cluster: 'eu-1', name: 'a1' },
  nowUnixMs: NOW,
  lifetimeMs: 10 * DAY_MS,
})
const authorities = [other, authority].map(({ certificatePem }) => new X509Certificate(certificatePem))
const leaf = new X509Certificate(agent.certificatePem)

const check = (expected: Expected, nowUnixMs = NOW) => checkLeaf(leaf, authorities, undefined, expected, nowUnixMs)

t.test('finds nothing wrong with what is as expected', async (t) => {
  t.strictSame(check({}), [])
  t.strictSame(check({ trustDomain, role: 'agent', cluster: 'eu-1', name: 'a1' }), [])
  t.strictSame(checkLeaf(leaf, authorities, createPrivateKey(agent.keyPem), {}, NOW), [])
})

t.test('goes over the intermediate CAs that stand behind the leaf, and looks at their dates', async (t) => {
  const root = openSslCa(t)
  const below = root.intermediate('below')
  const [end, ...brought] = splitCertificates(below.issue('end', 'DNS:x').cert).map((pem) => new X509Certificate(pem))
  const top = [new X509Certificate(readFileSync(root.certFile))]
  const now = Date.now()
  t.strictSame(checkLeaf(end!, top, undefined, {}, now, brought), [])
  t.strictSame(checkLeaf(end!, top, undefined, {}, now), ['was not issued by this CA'])
  t.match(checkLeaf(end!, top, undefined, {}, now + 25 * DAY_MS, brought), [
    /^the CA expired at /,
    /^the certificate expired at /,
  ])
})

t.test('finds a leaf that the CA did not issue, although the names agree', async (t) => {
  t.strictSame(checkLeaf(leaf, authorities.slice(0, 1), undefined, {}, NOW), ['was not issued by this CA'])
  t.strictSame(checkLeaf(leaf, [leaf], undefined, {}, NOW), ['was not issued by this CA'])
})

t.test(
  'finds a forged issuer: the name without the signature, the signature without the name, or no CA at all',
  async (t) => {
    const issued = async (issuer: Name, issuerKeyPem: string): Promise<CertificateAndKey> => {
      const certificate = {
        ...validity(NOW, DAY_MS),
        subject: distinguishedName({ organization: 'eve' }),
        extensions: [],
      }
      return sign(certificate, await newKeys(), issuer, signingKey(issuerKeyPem))
    }
    const nameOf = ({ certificatePem }: CertificateAndKey) => new x509.X509Certificate(certificatePem).subjectName
    const trusted = await issued(nameOf(authority), authority.keyPem)
    const all = [...authorities, new X509Certificate(trusted.certificatePem)]
    const causes = ({ certificatePem }: CertificateAndKey) =>
      checkLeaf(new X509Certificate(certificatePem), all, undefined, {}, NOW)
    t.strictSame(causes(trusted), [])
    for (const forged of [
      await issued(distinguishedName({ organization: 'culvert' }), authority.keyPem),
      await issued(nameOf(authority), agent.keyPem),
      await issued(nameOf(trusted), trusted.keyPem),
    ]) {
      t.strictSame(causes(forged), ['was not issued by this CA'])
    }
  },
)

t.test('finds a CA certificate in the place of a leaf', async (t) => {
  const [first] = authorities
  t.match(checkLeaf(first!, authorities, undefined, {}, NOW), [/is a CA certificate/])
})

t.test('finds what is out of time, on both sides of both ends', async (t) => {
  t.strictSame(check({}, NOW - 300_000), [])
  t.match(check({}, NOW - 300_001), [
    /the CA is not valid before/,
    /the certificate is not valid before 2029-12-31T23:55:00/,
  ])
  t.strictSame(check({}, NOW + 10 * DAY_MS), [])
  t.match(check({}, NOW + 10 * DAY_MS + 1), [/the certificate expired at 2030-01-11T00:00:00/])
  t.match(check({}, NOW + 100 * DAY_MS + 1), [/the CA expired/, /the certificate expired/])
})

t.test('finds the key of another certificate', async (t) => {
  t.match(checkLeaf(leaf, authorities, createPrivateKey(other.keyPem), {}, NOW), [/the key does not belong/])
})

t.test('finds every difference from what was expected', async (t) => {
  t.strictSame(check({ role: 'server', cluster: 'us-1', name: 'b' }), [
    'expected the role server, found agent',
    'expected the cluster us-1, found eu-1',
    'expected the name b, found a1',
  ])
  t.strictSame(check({ trustDomain: 'other.example', role: 'agent', cluster: 'eu-1' }), [
    'expected the role agent, found none',
    'expected the cluster eu-1, found none',
  ])
})

t.test('finds an identity that cannot be trusted', async (t) => {
  const uri = 'spiffe://hub.example/user/'
  const { certificatePem } = await leafWithNames(authority, [{ type: 'url', value: uri }], NOW)
  const found = checkLeaf(
    new X509Certificate(certificatePem),
    authorities,
    undefined,
    { trustDomain, role: 'user' },
    NOW,
  )
  t.match(found, [/"spiffe:\/\/hub.example\/user\/" .* names no agent, apiserver/])
})

t.test('finds a certificate that lacks the usage of its role', async (t) => {
  for (const [identity, usages, lacks] of [
    [{ role: 'server', id: 's' }, ['connect'], 'serverAuth'],
    [{ role: 'user', name: 'u' }, ['serve'], 'clientAuth'],
  ] as const) {
    const { certificatePem } = await issueLeaf(authority, { identity, usages, nowUnixMs: NOW })
    t.strictSame(checkLeaf(new X509Certificate(certificatePem), authorities, undefined, {}, NOW), [
      `its extended key usage lacks ${lacks}, which the role needs`,
    ])
  }
  const { certificatePem } = await issueLeaf(authority, { usages: ['serve'], nowUnixMs: NOW })
  t.strictSame(checkLeaf(new X509Certificate(certificatePem), authorities, undefined, {}, NOW), [], 'no role, no need')
})
