/** Certificates in real TLS handshakes: what node:tls, and so OpenSSL, makes of them. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { type PeerIdentity, readIdentity } from '../../src/pki/identity.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { leafWithNames } from './hostile.ts'

const trustDomain = 'hub.example'
const authority = await createAuthority({ trustDomain })
const agent = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const server = await issueLeaf(authority, {
  identity: { role: 'server', id: 'hub-0' },
  dnsNames: ['hub.example'],
  ipAddresses: ['127.0.0.1'],
})

type Greeting = { readonly server: PeerIdentity; readonly client: PeerIdentity; readonly refusedFor: unknown }
type Options = { readonly ca?: string; readonly servername?: string; readonly serves?: CertificateAndKey }

/** One handshake: who each took the other for, and for what the server refuses the client; throws what the client refuses. */
async function greet(t: Test, client: CertificateAndKey, options: Options = {}): Promise<Greeting> {
  const deadline = { signal: AbortSignal.timeout(10_000) }
  const { certificatePem: cert, keyPem: key } = options.serves ?? server
  const ca = authority.certificatePem
  const listener = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: false })
  listener.listen(0, '127.0.0.1')
  t.teardown(() => listener.close())
  await once(listener, 'listening', deadline)
  const accepted = once(listener, 'secureConnection', deadline) as Promise<[TLSSocket]>
  const socket = connect({
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: options.servername ?? 'hub.example',
    cert: client.certificatePem,
    key: client.keyPem,
    ca: options.ca ?? authority.certificatePem,
  })
  t.teardown(() => socket.destroy())
  const [[peer]] = await Promise.all([accepted, once(socket, 'secureConnect', deadline)])
  t.teardown(() => peer.destroy())
  return {
    server: readIdentity(socket.getPeerX509Certificate()?.subjectAltName, trustDomain),
    client: readIdentity(peer.getPeerCertificate().subjectaltname, trustDomain),
    refusedFor: peer.authorized ? undefined : peer.authorizationError,
  }
}

t.test('each end learns who the other is', async (t) => {
  for (const identity of [agent, { role: 'apiserver', cluster: 'eu-1' }, { role: 'user', name: 'alice' }] as const) {
    t.strictSame(await greet(t, await issueLeaf(authority, { identity })), {
      server: { role: 'server', id: 'hub-0', trustDomain },
      client: { ...identity, trustDomain },
      refusedFor: undefined,
    })
  }
})

t.test('a certificate without an identity is accepted, with the role none', async (t) => {
  t.match(await greet(t, await issueLeaf(authority, {})), { client: { role: 'none' } })
})

t.test('a URI that hides a second one behind a comma is invalid', async (t) => {
  const uri = 'spiffe://hub.example/user/a, URI:spiffe://hub.example/cluster/eu-1/agent/eve'
  const hostile = await leafWithNames(authority, [{ type: 'url', value: uri }])
  t.match(await greet(t, hostile), { client: { role: 'invalid' } })
})

t.test("a server's certificate opens no connection", async (t) => {
  t.match(await greet(t, server), { refusedFor: 'INVALID_PURPOSE' })
})

t.test('an expired, a foreign and a not yet valid client certificate are refused', async (t) => {
  const old = await issueLeaf(authority, { identity: agent, nowUnixMs: Date.now() - 2 * DAY_MS, lifetimeMs: DAY_MS })
  const early = await issueLeaf(authority, { identity: agent, nowUnixMs: Date.now() + DAY_MS })
  const foreign = await issueLeaf(await createAuthority({ trustDomain }), { identity: agent })
  t.match(await greet(t, old), { refusedFor: 'CERT_HAS_EXPIRED' })
  t.match(await greet(t, early), { refusedFor: 'CERT_NOT_YET_VALID' })
  t.match(await greet(t, foreign), { refusedFor: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
})

t.test(
  'a client refuses a server of another CA, under another name, or with a certificate that only connects',
  async (t) => {
    const client = await issueLeaf(authority, { identity: agent })
    const other = await createAuthority({ trustDomain })
    const serves = await issueLeaf(authority, { identity: agent, dnsNames: ['hub.example'], usages: ['connect'] })
    await t.rejects(greet(t, client, { ca: other.certificatePem }), { code: 'SELF_SIGNED_CERT_IN_CHAIN' })
    await t.rejects(greet(t, client, { servername: 'other.example' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    await t.rejects(greet(t, client, { serves }), { code: 'INVALID_PURPOSE' })
  },
)

t.test('a bundle of two CAs accepts the certificates of both, although their names are equal', async (t) => {
  const other = await createAuthority({ trustDomain })
  const ca = other.certificatePem + authority.certificatePem
  const client = await issueLeaf(authority, { identity: agent })
  t.match(await greet(t, client, { ca }), { client: agent })
})
