/** --cipher-suites, --tls-min-version and --alpn-proto, as the other end of a handshake sees them. */
import { once } from 'node:events'
import { type ConnectionOptions, connect, createServer, type TlsOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { within } from './deadline.ts'
import { launchAgent, startAgent, startServer } from './tunnel.ts'

const pki = await makePki(t)
const SUITE12 = 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'
const SUITE13 = 'TLS_CHACHA20_POLY1305_SHA256'
const suites = `--cipher-suites=${SUITE12},${SUITE13}`
const [narrow, narrowGrpc, strict] = await Promise.all([
  startServer(t, { pki, flags: [suites] }),
  startServer(t, { pki, flags: [suites, '--mode=grpc'] }),
  startServer(t, { pki, flags: ['--tls-min-version=VersionTLS13'] }),
])

/** The version and suite of a handshake, or why there is none. */
function handshake(t: Test, port: number, options: ConnectionOptions): Promise<string> {
  const { agent, authority } = pki
  const identity = { ca: authority.certificatePem, cert: agent.cert, key: agent.key }
  const socket = connect({ host: '127.0.0.1', port, ...identity, ...options })
  t.teardown(() => socket.destroy())
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.once('secureConnect', () => resolve(`${socket.getProtocol()} ${socket.getCipher().standardName}`))
  socket.once('error', ({ message }) => resolve(message))
  return within(promise, 'the end of a handshake')
}

const TLS12 = { maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3' } as const

for (const [name, port, ALPNProtocols] of [
  ['frontend in http-connect mode', narrow.frontendPort, ['http/1.1']],
  ['frontend in grpc mode', narrowGrpc.frontendPort, ['h2']],
  ['agent port', narrow.agentPort, ['h2']],
] as const) {
  t.test(`the ${name} speaks the suites that --cipher-suites names, and no others`, async (t) => {
    const speak = (options: ConnectionOptions): Promise<string> =>
      handshake(t, port, { ALPNProtocols: [...ALPNProtocols], ...options })
    t.equal(await speak(TLS12), `TLSv1.2 ${SUITE12}`)
    t.equal(await speak(TLS13), `TLSv1.3 ${SUITE13}`)
    t.match(await speak({ ...TLS12, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }), /alert handshake failure/)
    t.match(await speak({ ...TLS13, ciphers: 'TLS_AES_128_GCM_SHA256' }), /alert handshake failure/)
  })
}

t.test('both ports keep to --tls-min-version', async (t) => {
  for (const port of [strict.frontendPort, strict.agentPort]) {
    t.match(await handshake(t, port, TLS12), /alert protocol version/)
    t.match(await handshake(t, port, TLS13), /^TLSv1.3 /)
  }
})

t.test('an agent connects by a suite that both have, and by none other', async (t) => {
  await startAgent(t, narrow, { flags: [`--cipher-suites=${SUITE13}`] })
  await startAgent(t, narrow)
  const agent = await launchAgent(t, narrow, { flags: ['--cipher-suites=TLS_AES_128_GCM_SHA256'] })
  t.match((await agent.logged('could not connect')).reason, /handshake_failure: the two have no version/)
})

/** A TLS server at which an agent tries; the first protocols and suite that it sees. */
async function firstOffer(t: Test, flags: string[], options: TlsOptions = {}): Promise<string | readonly string[]> {
  const { promise, resolve } = Promise.withResolvers<string | readonly string[]>()
  const server = createServer({
    cert: pki.server.cert,
    key: pki.server.key,
    ALPNCallback({ protocols }) {
      resolve(protocols)
      return 'h2'
    },
    ...options,
  })
  server.on('secureConnection', (socket) => socket.on('error', () => undefined))
  server.on('tlsClientError', ({ message }) => resolve(message))
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await launchAgent(t, { pki, agentPort: port }, { flags })
  return within(promise, 'an agent that tries')
}

t.test('an agent offers what --alpn-proto names, and h2 behind it', async (t) => {
  t.strictSame(await firstOffer(t, []), ['h2'])
  t.strictSame(await firstOffer(t, ['--alpn-proto=lb-1,lb-2', '--alpn-proto=lb-3']), ['lb-1', 'lb-2', 'lb-3', 'h2'])
})

t.test('an agent speaks no version older than --tls-min-version, and never TLS 1.1', async (t) => {
  const old = { maxVersion: 'TLSv1.2' } as const
  t.strictSame(await firstOffer(t, [], old), ['h2'])
  t.match(await firstOffer(t, ['--tls-min-version=VersionTLS13'], old), /unsupported protocol/)
  const older = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const
  t.match(await firstOffer(t, ['--tls-min-version=VersionTLS10'], older), /unsupported protocol/)
})
