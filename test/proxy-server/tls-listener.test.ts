import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import type { TlsMaterial } from '../../src/platform/tls-material.ts'
import {
  createTlsListener,
  peerCertificate,
  type TlsListener,
  type TlsListenerOptions,
} from '../../src/proxy-server/tls-listener.ts'

const DAY_MS = 86_400_000
const trustDomain = 'hub.example'
const [authority, stranger] = await Promise.all([createAuthority({ trustDomain }), createAuthority({ trustDomain })])
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const [server, renewed, client, foreign, expired] = await Promise.all([
  issueLeaf(authority, { identity: { role: 'server', id: 'hub-0' }, dnsNames: ['hub.example'] }),
  issueLeaf(authority, { identity: { role: 'server', id: 'hub-1' }, dnsNames: ['hub.example'] }),
  issueLeaf(authority, { identity }),
  issueLeaf(stranger, { identity }),
  issueLeaf(authority, { identity, lifetimeMs: DAY_MS, nowUnixMs: Date.now() - 3 * DAY_MS }),
])
const ca = authority.certificatePem
const pair = ({ certificatePem: cert, keyPem: key }: CertificateAndKey): TlsMaterial => ({ cert, key })

type World = {
  readonly port: number
  readonly listener: TlsListener
  readonly failures: { readonly why: string; readonly code: string | undefined }[]
  /** The next connection whose handshake is done, as the server has it. */
  readonly accepted: () => Promise<TLSSocket>
  readonly failed: () => Promise<void>
}

async function setup(t: Test, options: Partial<TlsListenerOptions> = {}): Promise<World> {
  const connections: TLSSocket[] = []
  const failures: { why: string; code: string | undefined }[] = []
  let wake = (): void => {}
  const listener = createTlsListener({
    material: { ...pair(server), ca },
    protocol: tlsProtocol('', []),
    alpn: ['h2'],
    handshakeTimeoutMs: 10_000,
    halfOpen: false,
    connected(socket) {
      socket.on('error', () => undefined)
      connections.push(socket)
      t.teardown(() => socket.destroy())
      wake()
    },
    failed(why, error: NodeJS.ErrnoException) {
      failures.push({ why, code: error.code })
      wake()
    },
    ...options,
  })
  listener.server.listen(0, '127.0.0.1')
  t.teardown(() => listener.server.close())
  await once(listener.server, 'listening')
  const until = async (holds: () => boolean): Promise<void> => {
    const deadline = AbortSignal.timeout(10_000)
    while (!holds()) {
      await new Promise<void>((resolve, reject) => {
        wake = resolve
        deadline.onabort = () => reject(new Error('it did not happen'))
      })
    }
    deadline.onabort = null
  }
  return {
    port: (listener.server.address() as AddressInfo).port,
    listener,
    failures,
    async accepted() {
      await until(() => connections.length > 0)
      return connections.shift()!
    },
    failed: () => until(() => failures.length > 0),
  }
}

const asClient = (port: number, who: CertificateAndKey | 'none'): ConnectionOptions => ({
  host: '127.0.0.1',
  port,
  servername: 'hub.example',
  ca,
  ALPNProtocols: ['h2'],
  ...(who !== 'none' && pair(who)),
})

/** A client that has finished its part; `none` has no certificate. */
async function join(
  t: Test,
  port: number,
  who: CertificateAndKey | 'none',
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const socket = connect({ ...asClient(port, who), ...options })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect', { signal: AbortSignal.timeout(10_000) })
  socket.on('error', () => undefined)
  return socket
}

const reasonOf = (promise: Promise<unknown>): Promise<string | undefined> =>
  promise.then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  )

t.test('tells of everybody whose handshake is done, and what their certificate is worth', async (t) => {
  const { port, accepted } = await setup(t)
  const uri = 'URI:spiffe://hub.example/cluster/eu-1/agent/a1'
  const all = [
    [client, { present: true, error: undefined, subjectAltName: uri }],
    [foreign, { present: true, error: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', subjectAltName: uri }],
    [expired, { present: true, error: 'CERT_HAS_EXPIRED', subjectAltName: uri }],
    ['none', { present: false, subject: '', subjectAltName: undefined }],
  ] as const
  for (const [who, expected] of all) {
    await join(t, port, who)
    t.match(peerCertificate(await accepted(), true), { required: true, ...expected })
  }
})

t.test('words a subject on one line', async (t) => {
  const { port, accepted } = await setup(t)
  await join(t, port, client)
  t.equal(peerCertificate(await accepted(), true).subject, 'O=culvert:agent, CN=a1')
})

t.test('asks for no certificate where there is no CA to judge it by', async (t) => {
  const { port, accepted } = await setup(t, { material: pair(server) })
  await join(t, port, client)
  t.match(peerCertificate(await accepted(), false), { required: false, present: false, error: undefined })
})

t.test('speaks the protocols it offers, in its own order, and no others', async (t) => {
  const { port, accepted, failed, failures } = await setup(t, { alpn: ['h2', 'culvert-lane/1'] })
  const socket = await join(t, port, client, { ALPNProtocols: ['culvert-lane/1', 'h2'] })
  t.equal(socket.alpnProtocol, 'h2')
  await accepted()
  t.equal((await join(t, port, client, { ALPNProtocols: ['culvert-lane/1'] })).alpnProtocol, 'culvert-lane/1')
  t.match(await reasonOf(join(t, port, client, { ALPNProtocols: ['http/1.1'] })), /NO_APPLICATION_PROTOCOL|ECONNRESET/)
  await failed()
  t.match(failures, [{ why: 'failed' }])
})

t.test('speaks no version older than the least one', async (t) => {
  const strict = await setup(t, { protocol: tlsProtocol('VersionTLS13', []) })
  t.match(await reasonOf(join(t, strict.port, client, { maxVersion: 'TLSv1.2' })), /PROTOCOL_VERSION|ECONNRESET/)
  await strict.failed()
  t.match(strict.failures, [{ why: 'failed' }])
  const lenient = await setup(t)
  t.equal((await join(t, lenient.port, client, { maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2')
  t.equal((await join(t, lenient.port, client)).getProtocol(), 'TLSv1.3')
  t.match(
    await reasonOf(
      join(t, lenient.port, client, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }),
    ),
    /./,
  )
})

t.test('resumes no session: each certificate is looked at anew', async (t) => {
  const { port, accepted } = await setup(t)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = connect({ ...asClient(port, client), maxVersion })
    t.teardown(() => first.destroy())
    first.on('error', () => undefined)
    const sessions: Buffer[] = []
    first.on('session', (session: Buffer) => sessions.push(session))
    const peer = await accepted()
    peer.write('x') // whatever TLS sends after the handshake comes before this
    await once(first, 'data', { signal: AbortSignal.timeout(10_000) })
    t.ok(sessions[0], `${maxVersion}: the client has something to try it with`)
    const second = await join(t, port, client, { maxVersion, session: sessions.at(-1) })
    t.notOk(second.isSessionReused(), maxVersion)
    t.notOk((await accepted()).isSessionReused(), maxVersion)
  }
})

t.test('serves new material from the next handshake on, and leaves open connections alone', async (t) => {
  const { port, listener, accepted } = await setup(t)
  const names = (socket: TLSSocket): string => socket.getPeerX509Certificate()?.subject.split('\n').at(-1) ?? ''
  const old = await join(t, port, client)
  const peer = await accepted()
  listener.renew({ ...pair(renewed), ca: stranger.certificatePem })
  const anew = await join(t, port, client)
  t.strictSame([old, anew].map(names), ['CN=hub-0', 'CN=hub-1'])
  t.equal(peerCertificate(await accepted(), true).error, 'SELF_SIGNED_CERT_IN_CHAIN', 'another CA, too')
  t.equal(anew.alpnProtocol, 'h2')
  await join(t, port, foreign)
  t.equal(peerCertificate(await accepted(), true).error, undefined)
  const echo = once(peer, 'data', { signal: AbortSignal.timeout(10_000) })
  old.write('still here')
  t.equal(String((await echo)[0]), 'still here')
})

t.test('keeps its least version when material was exchanged', async (t) => {
  const { port, listener } = await setup(t, { protocol: tlsProtocol('VersionTLS13', []) })
  listener.renew({ ...pair(renewed), ca })
  t.match(await reasonOf(join(t, port, client, { maxVersion: 'TLSv1.2' })), /PROTOCOL_VERSION|ECONNRESET/)
})

t.test('hangs up on a handshake that takes too long, and says that it was slow', async (t) => {
  const { port, failed, failures } = await setup(t, { handshakeTimeoutMs: 50 })
  const socket = connectTcp({ host: '127.0.0.1', port })
  t.teardown(() => socket.destroy())
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
  socket.on('error', () => undefined)
  await failed()
  t.match(failures, [{ why: 'slow', code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }])
  await closed
})

t.test('hangs up on garbage, and on who leaves in the middle', async (t) => {
  const { port, failed, failures } = await setup(t)
  const socket = connectTcp({ host: '127.0.0.1', port })
  t.teardown(() => socket.destroy())
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
  socket.on('error', () => undefined)
  socket.end('GET / HTTP/1.1\r\n\r\n')
  await failed()
  await closed
  t.match(failures, [{ why: 'failed' }])
  failures.length = 0
  const leaver = connectTcp({ host: '127.0.0.1', port })
  t.teardown(() => leaver.destroy())
  await once(leaver, 'connect')
  leaver.end(Buffer.from('160301', 'hex'))
  await failed()
  t.match(failures, [{ why: 'failed' }])
})

for (const halfOpen of [true, false]) {
  t.test(`a peer that ends its side ${halfOpen ? 'goes on reading' : 'ends the connection'}`, async (t) => {
    const { port, accepted } = await setup(t, { halfOpen })
    const socket = await join(t, port, client, { allowHalfOpen: true } as ConnectionOptions)
    const peer = await accepted()
    peer.resume()
    const ended = once(peer, 'end', { signal: AbortSignal.timeout(10_000) })
    const finished = once(socket, 'end', { signal: AbortSignal.timeout(10_000) })
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.end()
    await ended
    if (halfOpen) peer.end('last words')
    await finished
    t.equal(Buffer.concat(chunks).toString(), halfOpen ? 'last words' : '')
  })
}

t.test('takes connections that were accepted elsewhere and not read yet', async (t) => {
  const { listener, accepted } = await setup(t)
  const waiting: Socket[] = []
  const gate = createServer({ pauseOnConnect: true }, (socket) => waiting.push(socket)).listen(0, '127.0.0.1')
  t.teardown(() => gate.close())
  await once(gate, 'listening')
  const joined = join(t, (gate.address() as AddressInfo).port, client)
  await once(gate, 'connection')
  await new Promise((resolve) => setImmediate(resolve)) // the hello is in the kernel by now, or comes later: both will do
  listener.take(waiting[0]!)
  const socket = await joined
  const peer = await accepted()
  t.equal(peerCertificate(peer, true).error, undefined)
  const heard = once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
  peer.write('hello')
  t.equal(String((await heard)[0]), 'hello')
})

t.test('renegotiates with nobody', async (t) => {
  const { port, accepted, listener } = await setup(t)
  for (const turn of ['before', 'after its material was exchanged']) {
    const socket = await join(t, port, client, { maxVersion: 'TLSv1.2' })
    const peer = await accepted()
    peer.resume()
    const { promise, resolve } = Promise.withResolvers<unknown>()
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    socket.renegotiate({}, () => resolve('done'))
    const writing = setInterval(() => peer.write('x'), 5) // the answer to the wish leaves with what is written next
    t.match(await promise, /NO_RENEGOTIATION/, turn)
    clearInterval(writing)
    listener.renew({ ...pair(renewed), ca })
  }
})
