/**
 * Strangers at the shared front door: whatever they send in place of a ClientHello, or beside it, costs them an answer or their
 * connection, the router's audit log and metrics say so, and the client of `calm`, who comes through the same door, notices nothing.
 * The cases of docs/threat-model.md.
 */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { Leaf } from '../integration/certificates.ts'
import { connectHead, endOf, readAll, readAnswer, tunnelOver } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { handshake, startFrontDoor } from '../integration/front-door.ts'
import {
  alpn,
  extension,
  handshake as handshakeBytes,
  helloBody,
  helloRecords,
  records,
  serverName,
} from '../sni-router/hellos.ts'
import { type Attack, withstand } from './attack.ts'
import { startArena } from './hub.ts'
import { startNeighbour } from './neighbour.ts'
import { stranger as strangerAt } from './stranger.ts'

/** Who comes from there must say for whom, by a PROXY header. */
const BALANCERS = '127.0.9.0/24'
/** Of one source. */
const [CONNECTIONS, HALF_HELLOS] = [30, 20]

const hub = await startArena(t)
const auditLog = join(hub.folder, 'router-audit.log')
const backends = [`127.0.0.1:${hub.frontendPort}`]
const router = await startFrontDoor(
  t,
  {
    routes: [
      { name: 'calm', hosts: ['calm.hub.example'], backends },
      { name: 'evil', hosts: ['evil.hub.example'], backends, maxConnections: 3 },
      { name: 'h2', hosts: ['h2.hub.example'], alpn: ['h2'], backends },
      { name: 'still', hosts: ['still.hub.example'], backends: [hub.echo.address] },
    ],
    limits: {
      helloTimeout: '3s',
      connections: 200,
      connectionsPerSource: CONNECTIONS,
      pendingHellos: 60,
      pendingHellosPerSource: HALF_HELLOS,
    },
  },
  { flags: [`--audit-log-file=${auditLog}`], proxyProtocolFrom: [BALANCERS] },
)

/** Through the front door to the hub, which has one certificate for all names. */
const through = (leaf: Leaf, servername: string): Promise<TLSSocket> =>
  handshake(t, router.port, {
    ca: hub.pki.authority.certificatePem,
    cert: leaf.cert,
    key: leaf.key,
    servername,
    checkServerIdentity: () => undefined,
  })
const neighbour = await startNeighbour(t, async () =>
  tunnelOver(await through(hub.leaves.calm, 'calm.hub.example'), hub.echo.address),
)

/** @param net the third number of its address */
const stranger = (t: Test, index: number, net = 3): Promise<Socket> => strangerAt(t, router.port, net, index)

/** All that comes back, in hexadecimal, until the router hangs up. */
async function answered(socket: Socket, ...bytes: Buffer[]): Promise<string> {
  const got: Buffer[] = []
  socket.on('data', (chunk: Buffer) => got.push(chunk))
  const over = endOf(socket)
  for (const part of bytes) socket.write(part)
  await over
  socket.destroy()
  return Buffer.concat(got).toString('hex')
}

const refusals = (why: string): string => `culvert_router_refused_clients_total{why="${why}"}`
const client = { event: 'client', verdict: 'refused' }
const UNRECOGNIZED_NAME = '15030100020270'
const NO_APPLICATION_PROTOCOL = '15030100020278'
const INTERNAL_ERROR = '15030100020250'
const SPEAKS_TLS_ONLY = /^485454502f312e3120343030/ // HTTP/1.1 400
const ALERT = /^15030100020[12]..$/

/** @param why as it is counted and told */
const sends = (what: string, bytes: Buffer | string, why: string, saw: unknown, asked?: string): Attack => ({
  what,
  act: async (t, index) =>
    answered(await stranger(t, index), typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
  saw,
  metric: refusals(why.replaceAll('-', '_')),
  audit: { ...client, reason: why, ...(asked !== undefined && { destination: asked }) },
})
const named = (...names: string[]): Buffer => helloRecords({ extensions: names.map((name) => serverName(name)) })
const calm = named('calm.hub.example')

const hellos: Attack[] = [
  sends('a hello without a name', helloRecords({ extensions: [alpn('h2')] }), 'no-name', UNRECOGNIZED_NAME),
  sends('a hello without extensions', helloRecords({}), 'no-name', UNRECOGNIZED_NAME),
  sends('a name that is not here', named('other.hub.example'), 'no-route', UNRECOGNIZED_NAME, 'other.hub.example'),
  sends(
    'an outer name of ECH that is not here',
    helloRecords({ extensions: [extension(0xfe0d, Buffer.alloc(200)), serverName('outer.example')] }),
    'no-route',
    UNRECOGNIZED_NAME,
    'outer.example',
  ),
  sends(
    'a protocol that no route of the name has',
    helloRecords({ extensions: [serverName('h2.hub.example'), alpn('http/1.1')] }),
    'no-protocol',
    NO_APPLICATION_PROTOCOL,
    'h2.hub.example',
  ),
  sends('a name with a zero byte in it', named('calm.hub.example\0.evil.example'), 'malformed', ALERT),
  sends('two names', named('evil.hub.example', 'calm.hub.example'), 'malformed', ALERT),
  sends('an empty record', Buffer.from([22, 3, 1, 0, 0]), 'malformed', ALERT),
  sends('a record that is too long', Buffer.from([22, 3, 1, 0xff, 0xff]), 'malformed', ALERT),
  sends('a handshake that is none', records(handshakeBytes(helloBody({}), 2)), 'malformed', ALERT),
  sends('a hello of 16 MiB, by its length', Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), 'too-large', ALERT),
  sends(
    'a hello of many records of one byte',
    helloRecords({ extensions: [serverName('calm.hub.example'), extension(21, Buffer.alloc(16_000))] }, 1),
    'too-large',
    /^(15030100020[12]..)?$/, // the rest of it is on its way and may turn the alert into a reset
  ),
  sends('SSLv2', Buffer.from([0x80, 0x2e, 1, 3, 1, 0, 0]), 'sslv2', ALERT),
  sends('HTTP in clear', 'GET / HTTP/1.1\r\nHost: calm.hub.example\r\n\r\n', 'http', SPEAKS_TLS_ONLY),
  sends('CONNECT in clear', connectHead('10.0.0.1:443'), 'http', SPEAKS_TLS_ONLY),
  sends('garbage', '\xff\xfe\xfd'.repeat(200), 'not-tls', ''),
  sends('a PROXY header from where none is taken', Buffer.concat([proxy('127.0.0.1'), calm]), 'http', SPEAKS_TLS_ONLY),
]

function proxy(ip: string): Buffer {
  return Buffer.from(`PROXY TCP4 ${ip} 192.0.2.2 5 443\r\n`)
}
const proxied = (what: string, bytes: readonly Buffer[], why: string, saw: unknown): Attack => ({
  what,
  act: async (t, index) => answered(await stranger(t, index, 9), ...bytes),
  saw,
  metric: refusals(why.replaceAll('-', '_')),
  audit: { ...client, reason: why },
})
const headers: Attack[] = [
  proxied('no PROXY header from where one is due', [calm], 'no-proxy-header', ''),
  proxied('a second PROXY header', [proxy('192.0.2.7'), proxy('127.0.0.1'), calm], 'http', SPEAKS_TLS_ONLY),
  proxied('half of a PROXY header', [Buffer.from('PROXY TCP4 192.0.2.1')], 'slow', ''),
  proxied('a PROXY header without an end', [Buffer.from(`PROXY TCP4 ${'1'.repeat(300)}`)], 'no-proxy-header', ''),
  proxied(
    'a PROXY header of version 2 that is longer than it may be',
    [Buffer.from('0d0a0d0a000d0a515549540a2111ffff', 'hex'), Buffer.alloc(2_000)],
    'no-proxy-header',
    '',
  ),
]

/** One of several from an address of its own, with these bytes. */
async function oneOf(t: Test, index: number, bytes: Buffer): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: router.port, localAddress: `127.0.4.${index + 1}` })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined).resume()
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve)) // reset at once, it may hear only that
  socket.write(bytes)
  return socket
}

/** Who comes after all of these is answered: the router has met them. @returns the indexes of those that it has hung up on */
async function ended(t: Test, index: number, sockets: readonly Socket[]): Promise<number[]> {
  await answered(await stranger(t, index, 5), Buffer.from('GET / HTTP/1.1\r\n\r\n'))
  return sockets.flatMap(({ destroyed, readableEnded }, at) => (destroyed || readableEnded ? [at] : []))
}

/** As many as one address may have, and one more. @returns who was hung up on before, and by that */
async function oneTooMany(t: Test, index: number, most: number, open: () => Promise<Socket>): Promise<number[][]> {
  const sockets: Socket[] = []
  while (sockets.length < most) sockets.push(await open())
  const before = await ended(t, index, sockets)
  sockets.push(await open())
  const after = await eventually(
    'one is hung up on',
    () => ended(t, index, sockets),
    ({ length }) => length > 0,
  )
  for (const socket of sockets) socket.destroy()
  return [before, after]
}

const exhaustion: Attack[] = [
  {
    what: 'a hello that comes a byte at a time',
    async act(t, index) {
      const socket = await stranger(t, index)
      let at = 0
      const timer = setInterval(() => socket.write(calm.subarray(at, ++at)), 30)
      t.teardown(() => clearInterval(timer))
      const got = await answered(socket)
      clearInterval(timer)
      return [got, at < calm.length]
    },
    saw: ['', true],
    metric: refusals('slow'),
    audit: { ...client, reason: 'slow' },
  },
  {
    what: 'a connection that says nothing',
    act: async (t, index) => answered(await stranger(t, index)),
    saw: '',
    metric: refusals('slow'),
    audit: { ...client, reason: 'slow' },
  },
  {
    what: 'more half hellos from one address than it may have',
    act: (t, index) => oneTooMany(t, index, HALF_HELLOS, () => oneOf(t, index, calm.subarray(0, 9))),
    saw: [[], [0]], // the oldest
    metric: refusals('crowded'),
    audit: { ...client, reason: 'crowded' },
  },
  {
    what: 'more connections from one address than it may have',
    async act(t, index) {
      const hello = named('still.hub.example') // which its backend sends back, and no more
      return oneTooMany(t, index, CONNECTIONS, async () => {
        const socket = await oneOf(t, index, hello)
        if (!socket.destroyed) await new Promise((resolve) => socket.once('data', resolve).once('close', resolve))
        return socket
      })
    },
    saw: [[], [CONNECTIONS]], // the last
    metric: refusals('source_full'),
    audit: { ...client, reason: 'source-full' },
  },
  {
    what: 'more clients of one name than it may have',
    async act(t, index) {
      const held = await Promise.all([1, 2, 3].map(() => through(hub.leaves.evil, 'evil.hub.example')))
      const answer = await answered(await stranger(t, index), named('evil.hub.example'))
      for (const socket of held) socket.destroy()
      return answer
    },
    saw: INTERNAL_ERROR,
    metric: refusals('route_full'),
    audit: { ...client, reason: 'route-full', destination: 'evil.hub.example' },
  },
]

const crossing: Attack[] = [
  {
    what: 'the certificate of evil, through the front door, by the name of calm',
    async act() {
      const socket = await through(hub.leaves.evil, 'calm.hub.example')
      socket.write(connectHead(hub.echo.address))
      const { status, body } = readAnswer((await readAll(socket)).toString('latin1'))
      socket.destroy()
      return { status, body }
    },
    saw: { status: 403, body: /another cluster than the server name that was asked for/ },
    metric: 'culvert_server_unmapped_peers_total{port="frontend"}',
    audit: { event: 'frontend', verdict: 'refused', reason: /another cluster than the server name/ },
  },
]

withstand({ ...router, auditLog, neighbour }, [...hellos, ...headers, ...exhaustion])
withstand({ ...hub, neighbour }, crossing)
