/** The front door with real clients of TLS: who comes to whom, what the others are told, and that nothing is changed on the way. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ConnectionOptions } from 'node:tls'
import t from 'tap'
import { nodeHello, records, unwrapped } from '../sni-router/hellos.ts'
import { makePki } from './certificates.ts'
import { readBytes } from './client.ts'
import { event, within } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { connectRaw, handshake, nextBackend, startFrontDoor, startTlsBackend } from './front-door.ts'
import { closedPort, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'

const MEBIBYTE = 2 ** 20
const names = ['eu-1.hub.example', 'eu-2.hub.example', 'x.eu-3.hub.example', 'other.example']
const pki = await makePki(t)
const leaf = await pki.issue('backends', {
  identity: { role: 'server', id: 'any' },
  dnsNames: names,
  ipAddresses: ['127.0.0.1'],
})
const [one, two, h2, wildcard, fallback] = await Promise.all([
  startTlsBackend(t, 'one', leaf),
  startTlsBackend(t, 'two', leaf),
  startTlsBackend(t, 'h2', leaf, ['h2']),
  startTlsBackend(t, 'wildcard', leaf),
  startTlsBackend(t, 'fallback', leaf),
])
const echoed = await listenTarget(t, (socket) => void socket.pipe(socket))
const routes = [
  { name: 'one', hosts: ['eu-1.hub.example'], backends: [one.address] },
  { name: 'two', hosts: ['EU-2.hub.example.'], backends: [two.address] },
  { name: 'h2', hosts: ['eu-1.hub.example'], alpn: ['h2'], backends: [h2.address] },
  { name: 'wildcard', hosts: ['*.eu-3.hub.example'], backends: [wildcard.address] },
  { name: 'only-h2', hosts: ['only.hub.example'], alpn: ['h2'], backends: [h2.address] },
  { name: 'gone', hosts: ['gone.hub.example'], backends: [await closedPort()] },
  { name: 'raw', hosts: ['raw.hub.example'], backends: [echoed.address] },
]
const router = await startFrontDoor(t, { routes })
const open = await startFrontDoor(t, { routes, default: { backends: [fallback.address] } })

const ca = pki.authority.certificatePem
async function reached(port: number, options: ConnectionOptions): Promise<string> {
  const socket = await handshake(t, port, { ca, ...options })
  const [line] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return line.toString().trim()
}

t.test('brings each client to the backend of the name and the protocol that it asks for', async (t) => {
  t.equal(await reached(router.port, { servername: 'eu-1.hub.example' }), 'one')
  t.equal(await reached(router.port, { servername: 'eu-2.hub.example' }), 'two')
  t.equal(await reached(router.port, { servername: 'eu-1.hub.example', ALPNProtocols: ['h2', 'x'] }), 'h2')
  t.equal(await reached(router.port, { servername: 'x.eu-3.hub.example' }), 'wildcard')
  t.equal(await reached(router.port, { servername: 'eu-1.hub.example', maxVersion: 'TLSv1.2' }), 'one')
})

t.test(
  'refuses names without a route, and clients without a name, with unrecognized_name where there is no default',
  async (t) => {
    const before = await figure(router, 'culvert_router_refused_clients_total{why="no_route"}')
    await t.rejects(reached(router.port, { servername: 'other.example' }), { code: /UNRECOGNIZED_NAME/ })
    await t.rejects(reached(router.port, { servername: 'eu-3.hub.example' }), { code: /UNRECOGNIZED_NAME/ })
    await figureBecomes(router, 'culvert_router_refused_clients_total{why="no_route"}', before + 2)
    await t.rejects(reached(router.port, {}), { code: /UNRECOGNIZED_NAME/ })
    await figureBecomes(router, 'culvert_router_refused_clients_total{why="no_name"}', 1)
    t.equal(await reached(open.port, { servername: 'other.example' }), 'fallback')
    t.equal(await reached(open.port, {}), 'fallback')
  },
)

t.test(
  'refuses a protocol for which a name has no route, and a route that nobody serves, each with its alert',
  async (t) => {
    await t.rejects(reached(open.port, { servername: 'only.hub.example' }), { code: /NO_APPLICATION_PROTOCOL/ })
    await t.rejects(reached(router.port, { servername: 'gone.hub.example' }), { code: /INTERNAL_ERROR/ })
    t.ok((await figure(router, 'culvert_router_failed_dials_total{route="gone",why="refused"}')) > 0)
  },
)

t.test('brings OpenSSL where it wants to go', async (t) => {
  const args = [
    's_client',
    '-connect',
    `127.0.0.1:${router.port}`,
    '-servername',
    'eu-2.hub.example',
    '-quiet',
    '-CAfile',
    pki.caFile,
  ]
  const client = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'ignore'] })
  t.teardown(() => client.kill('SIGKILL'))
  const [line] = (await within(once(client.stdout, 'data'), 'an answer')) as [Buffer]
  t.equal(line.toString(), 'two\n')
})

t.test('says what is wrong to who speaks something else, and hangs up', async (t) => {
  for (const [sent, answer, why] of [
    ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', Buffer.from('HTTP/1.1 400 Bad Request\r\n').toString('hex'), 'http'],
    ['\x80\x2e\x01\x03\x01\0', '15030100020246', 'sslv2'],
    ['\x16\x03\x01\0\0', '1503010002020a', 'malformed'],
    ['\0\0\0\0', '', 'not_tls'],
  ] as const) {
    const series = `culvert_router_refused_clients_total{why="${why}"}`
    const before = await figure(router, series)
    const socket = await connectRaw(t, router.port)
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    const closed = within(new Promise((resolve) => socket.once('close', resolve)), 'its end')
    socket.once('end', () => socket.end())
    socket.write(Buffer.from(sent, 'latin1'))
    await closed
    const length = Math.max(answer.length, why === 'http' ? 0 : Number.MAX_SAFE_INTEGER)
    t.equal(Buffer.concat(chunks).toString('hex').slice(0, length), answer, why)
    await figureBecomes(router, series, before + 1)
  }
})

t.test('passes on the very bytes that it read to decide, however they came', async (t) => {
  const message = unwrapped(await nodeHello({ servername: 'raw.hub.example' }))
  for (const each of [1, 7, 16_384]) {
    const bytes = Buffer.concat([records(message, each), Buffer.from('and more')])
    const socket = await connectRaw(t, router.port)
    const back = readBytes(socket, bytes.length)
    for (let at = 0; at < bytes.length; at += 301) socket.write(bytes.subarray(at, at + 301))
    t.ok((await back).equals(bytes), `records of ${each}`)
    socket.destroy()
  }
})

t.test('carries both directions whole, at the pace of a slow reader, and ends each by itself', async (t) => {
  const hello = await nodeHello({ servername: 'raw.hub.example' })
  await figureBecomes(router, 'culvert_router_open_connections{route="raw"}', 0)
  const finished = 'culvert_router_connection_ends_total{route="raw",how="finished"}'
  const before = await figure(router, finished)
  const reached = nextBackend(echoed)
  const socket = await connectRaw(t, router.port)
  const greeting = readBytes(socket, hello.length)
  socket.write(hello)
  await greeting
  const target = await reached()
  target.unpipe(target)
  target.resume()
  const bytes = 20 * MEBIBYTE
  const up = receiveAll(target)
  await sendAll(socket, bytes) // and its end: the other direction goes on
  t.strictSame(await up, { bytes, hash: expectedHash(bytes) })
  const down = receiveAll(socket)
  await sendAll(target, bytes)
  t.strictSame(await down, { bytes, hash: expectedHash(bytes) })
  await figureBecomes(router, finished, before + 1)
})

t.test('resets the one side when the other breaks', async (t) => {
  const hello = await nodeHello({ servername: 'raw.hub.example' })
  for (const who of ['client', 'backend'] as const) {
    const reached = nextBackend(echoed)
    const client = await connectRaw(t, router.port)
    const greeting = readBytes(client, hello.length)
    client.write(hello)
    await greeting
    client.resume()
    const backend = await reached()
    const [broken, other] = who === 'client' ? [client, backend] : [backend, client]
    const failed = event<Error>(other, 'error')
    broken.resetAndDestroy()
    t.match(await failed, { code: 'ECONNRESET' }, who)
  }
  await figureBecomes(router, 'culvert_router_open_connections{route="raw"}', 0)
})

t.test('tells how it is, and gives figures by the names of routes only', async (t) => {
  for (const path of ['/healthz', '/readyz'])
    t.equal((await fetch(`http://127.0.0.1:${router.healthPort}${path}`)).status, 200)
  const text = await (await fetch(`http://127.0.0.1:${router.healthPort}/metrics`)).text()
  const labels = [...text.matchAll(/route="([^"]+)"/g)].map(([, name]) => name)
  const known = new Set(routes.map(({ name }) => name))
  t.ok(labels.length > 0 && labels.every((name) => known.has(name ?? '')))
  t.notMatch(text, /other\.example|eu-1\.hub/)
  await t.rejects(
    connectRaw(t, router.healthPort, { host: '127.0.0.2' }),
    { code: 'ECONNREFUSED' },
    'to nobody but this machine',
  )
})
