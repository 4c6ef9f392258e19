import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import t, { type Test } from 'tap'
import { type Authority, createAuthority } from '../../src/pki/authority.ts'
import { readAuthorities } from '../../src/pki/enrolment-wire.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { splitCertificates } from '../../src/pki/pem.ts'
import { writePair } from '../../src/pki/store.ts'
import type { TlsMaterial } from '../../src/platform/tls-material.ts'
import { openIssuer } from '../../src/proxy-server/enrolment-issuer.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const LOOK_MS = 5_000
const [one, two, other] = await Promise.all(
  [1, 2, 3].map(() => createAuthority({ trustDomain: 'hub.example', nowUnixMs: 0 })),
)
const leaf = await issueLeaf(one!, { identity: { role: 'server', id: 'hub-0' }, nowUnixMs: 0 })
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const bundle = (...authorities: (Authority | undefined)[]): string =>
  authorities.map((authority) => authority?.certificatePem).join('')

function setup(t: Test, ca: string, more: { readonly trustDomain?: string } = {}) {
  const folder = temporaryFolder(t)
  const write = (authority: Authority) => writePair(folder, 'ca', authority, 'replace')
  const { certificateFile, keyFile } = write(one!)
  const [clock, log] = [manualClock(), recordedLog()]
  let material: TlsMaterial = { ca, cert: leaf.certificatePem }
  const options = {
    enrolmentCaCert: certificateFile,
    enrolmentCaKey: keyFile,
    enrolmentLifetimeMs: 3_600_000,
    trustDomain: '',
    ...more,
  }
  const issuer = openIssuer(options, { clock, log, material: () => material })
  t.teardown(() => issuer[Symbol.dispose]())
  const trust = (ca: string): void => {
    material = { ...material, ca }
  }
  const look = (): void => {
    for (let looks = 0; looks < 2; looks++) clock.advance(LOOK_MS)
  }
  const isOf = async (authority: Authority | undefined): Promise<boolean> =>
    new X509Certificate(await issuer.issue(identity, publicKey)).verify(
      new X509Certificate(authority?.certificatePem ?? '').publicKey,
    )
  return { issuer, write, trust, look, isOf, log }
}

t.test('issues by the CA of the files, for the lifetime of the hub', async (t) => {
  const { issuer, isOf } = setup(t, bundle(one))
  t.ok(await isOf(one))
  const given = new X509Certificate(await issuer.issue(identity, publicKey))
  t.equal(given.validToDate.getTime(), 3_600_000)
  t.equal(given.subjectAltName, 'URI:spiffe://hub.example/cluster/eu-1/agent/a1')
})

t.test('names the CAs by which the hub may be known, and no others that it trusts', async (t) => {
  const { issuer, trust } = setup(t, bundle(one, other))
  const named = () => splitCertificates(readAuthorities(issuer.hello()) ?? '').map((pem) => pem.trim())
  t.strictSame(named(), [one!.certificatePem.trim()])
  t.equal(issuer.hello(), issuer.hello())
  trust(bundle(other))
  t.strictSame(named(), [one!.certificatePem.trim()], 'that which issues in any case')
})

t.test('a CA that the agent port trusts no more issues nothing', async (t) => {
  const { isOf, trust } = setup(t, bundle(one, two))
  trust(bundle(two))
  await t.rejects(isOf(one), { code: 'bad-option', message: /is not in --cluster-ca-cert/ })
  trust(bundle(one))
  t.ok(await isOf(one), 'trusted again')
})

t.test('a new CA issues when the agent port trusts it, whichever is changed first', async (t) => {
  const { issuer, isOf, trust, write, look, log } = setup(t, bundle(one))
  write(two!)
  look()
  t.match(log.messages('error'), ['the CA of enrolment cannot be used, the one before stays in use'])
  t.ok(await isOf(one))
  trust(bundle(one, two))
  t.ok(await isOf(two))
  t.ok(readAuthorities(issuer.hello())?.startsWith(two!.certificatePem.trim()), 'and says so')
  write(one!)
  look()
  t.ok(await isOf(one), 'and back')
  t.ok(readAuthorities(issuer.hello())?.startsWith(one!.certificatePem.trim()))
})

t.test('says that another CA issues, and nothing of one that was only put behind it', async (t) => {
  const { isOf, write, look, log } = setup(t, bundle(one, two))
  write({ ...one!, certificatePem: bundle(one, two) })
  look()
  t.ok(await isOf(one))
  t.strictSame(log.messages('info'), [])
  write(two!)
  look()
  t.ok(await isOf(two))
  t.strictSame(log.messages('info'), ['the CA of enrolment changed, new certificates are of it'])
})

t.test('a CA that cannot be used stops nothing when the bundle of the agent port changes', async (t) => {
  const { issuer, isOf, trust, write, look } = setup(t, bundle(one))
  write(two!)
  look()
  trust(bundle(one, other))
  t.ok(await isOf(one), 'the one before is still trusted')
  t.ok(readAuthorities(issuer.hello())?.startsWith(one!.certificatePem.trim()))
  trust(bundle(other))
  await t.rejects(isOf(one), { code: 'bad-option', message: /is not in --cluster-ca-cert/ })
})

t.test('what cannot issue is refused at the start', async (t) => {
  t.throws(() => setup(t, bundle(two)), { code: 'bad-option', message: /is not in --cluster-ca-cert/ })
  t.throws(() => setup(t, bundle(one), { trustDomain: 'else.example' }), {
    code: 'bad-option',
    message: /is of the trust domain hub\.example, --trust-domain is else\.example/,
  })
})
