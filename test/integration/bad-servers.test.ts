/** What an agent does with a server that breaks the protocol, or is none: it says why, tries again and harms nobody. */
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { endOf } from './client.ts'
import { event, eventually } from './deadline.ts'
import { AGENT, counts, fetchFrom, figure, figureBecomes } from './figures.ts'
import { dialsUnderWay, echo, listenTarget, stuckTarget } from './target.ts'
import { type Agent, launchAgent } from './tunnel.ts'
import { grpcMessage } from './wire.ts'
import { allExtensions } from './wire-agent.ts'
import { listenAsServer, type Reply, taken, type WirePeer } from './wire-server.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const hello = Buffer.from('hello')
/** More than the kernel takes for a target that does not read, and the largest window, together. */
const FLOOD_BYTES = 16 * 1024 * 1024
const piece = Buffer.alloc(128 * 1024, 'x')

const take =
  (extra: Record<string, string> = {}): Reply =>
  (stream) =>
    stream.respond({ ...taken, ...extra })

/** An agent that this server has taken. */
async function joined(
  t: Test,
  extra?: Record<string, string>,
): Promise<{ readonly peer: WirePeer; readonly agent: Agent }> {
  const listener = await listenAsServer(t, pki, take(extra))
  const next = listener.next()
  const agent = await launchAgent(t, { pki, agentPort: listener.agentPort })
  const peer = await next
  await agent.logged('connected')
  return { peer, agent }
}

/** Over its stream the agent still connects to targets. */
async function stillDials(peer: WirePeer): Promise<void> {
  const random = Math.floor(Math.random() * 2 ** 40)
  peer.send({ type: 'DIAL_REQ', protocol: 'tcp', address: target.address, random })
  const { connectId, error } = await peer.next('DIAL_RSP')
  if (error !== '') throw new Error(error)
  peer.send({ type: 'DATA', connectId, error: '', data: hello })
  const { data } = await peer.next('DATA')
  if (!hello.equals(data)) throw new Error(`got ${data}`)
}

const violation = (kind: string): string => `culvert_agent_violations_total{kind="${kind}"}`

const refusals: readonly { what: string; reply: Reply; reason: RegExp }[] = [
  {
    what: 'names no server id',
    reply: (stream) => stream.respond({ ':status': 200, servercount: '1' }),
    reason: /^expected one server ID in the context, got \[\]$/,
  },
  {
    what: 'names no server id and ends in good order',
    reply: (stream) => {
      stream.respond({ ':status': 200, servercount: '1' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end()
    },
    reason: /^expected one server ID in the context, got \[\]$/,
  },
  {
    what: 'names two server ids',
    reply: (stream) => stream.respond({ ...taken, serverid: ['a', 'b'] }),
    reason: /^expected one server ID in the context, got \[a b\]$/,
  },
  {
    what: 'gives a count that is no number',
    reply: (stream) => stream.respond({ ...taken, servercount: 'many' }),
    reason: /^expected one server count, got \[many\]$/,
  },
  {
    what: 'refuses with a status of gRPC',
    reply: (stream) =>
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '7', 'grpc-message': 'not%20you' },
        { endStream: true },
      ),
    reason: /^gRPC status 7: not you$/,
  },
  {
    what: 'is an HTTP server of another kind',
    reply: (stream) => {
      stream.respond({ ':status': 503 })
      stream.end('busy')
    },
    reason: /^the server answered with HTTP status 503$/,
  },
  { what: 'hangs up', reply: (stream) => stream.session?.destroy(), reason: /./ },
]
for (const { what, reply, reason } of refusals) {
  t.test(`a server that ${what} is left, and tried again later`, async (t) => {
    const { agentPort } = await listenAsServer(t, pki, reply)
    const agent = await launchAgent(t, { pki, agentPort })
    t.match(await agent.logged('could not connect', 2), { reason })
    t.equal((await fetchFrom(agent.healthPort, '/readyz')).status, 503)
    t.ok((await figure(agent, 'culvert_agent_failed_connects_total')) >= 2)
  })
}

t.test('a port that speaks no TLS, or no HTTP/2, is left and tried again', async (t) => {
  const nonsense = createTcpServer((socket) => socket.on('error', () => undefined).end('220 hello\r\n'.repeat(10)))
  nonsense.listen(0, '127.0.0.1')
  t.teardown(() => nonsense.close())
  await event(nonsense, 'listening')
  const agent = await launchAgent(t, { pki, agentPort: (nonsense.address() as AddressInfo).port })
  t.match(await agent.logged('could not connect', 2), { reason: /wrong version number|packet length|bad record/ })
})

const breaks: readonly { what: string; bytes: Buffer; reason: RegExp }[] = [
  {
    what: 'a message over 4 MiB',
    bytes: grpcMessage(Buffer.alloc(4 * 1024 * 1024 + 1)),
    reason: /a message of 4194305 bytes is over the limit of 4194304/,
  },
  { what: 'a message that is no packet', bytes: grpcMessage(Buffer.alloc(9, 0xff)), reason: /./ },
  { what: 'a compressed message', bytes: grpcMessage(hello, 1), reason: /a compressed message/ },
]
for (const { what, bytes, reason } of breaks) {
  t.test(`${what} ends the stream, and the agent connects anew`, async (t) => {
    const { peer, agent } = await joined(t)
    peer.sendRaw(bytes)
    t.match(await agent.logged('disconnected'), { reason })
    await agent.logged('connected', 2)
    t.equal(await figure(agent, `${AGENT}server_connection_failure_count{direction="from_server"}`), 1)
  })
}

t.test('packets of unknown types are counted and ignored, up to 1,000 in a minute', async (t) => {
  const { peer, agent } = await joined(t)
  const unknown = Buffer.from([8, 63])
  await counts(agent, violation('unknown_type'), 1_000, async () => {
    for (let count = 0; count < 1_000; count++) peer.sendMessage(unknown)
  })
  await stillDials(peer)
  peer.sendMessage(unknown)
  t.match(await agent.logged('disconnected'), { reason: 'too-many-unknown-frames' })
})

t.test(
  'packets that only an agent sends, and extension frames without an offer, are counted and ignored',
  async (t) => {
    const { peer, agent } = await joined(t)
    await counts(agent, violation('unexpected'), 7, async () =>
      peer.send(
        { type: 'DIAL_RSP', error: '', connectId: 1, random: 1 },
        { type: 'CLOSE_RSP', error: '', connectId: 1 },
        { type: 'DRAIN' },
        { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 },
        { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' },
        { type: 'PING', nonce: 1 },
        { type: 'GOING_AWAY', reason: 'no', deadlineMs: 1, reconnectAfterMs: 1 },
      ),
    )
    await stillDials(peer)
    t.notOk(peer.received.some(({ type }) => type === 'PONG' || type === 'HEARTBEAT'))
  },
)

t.test('data and closes for connections that do not exist get the answers of the reference', async (t) => {
  const { peer, agent } = await joined(t)
  await counts(agent, violation('unknown_connection'), 2, async () => {
    peer.send({ type: 'DATA', connectId: 7, error: '', data: hello })
    t.match(await peer.next('CLOSE_RSP'), { connectId: 7, error: 'unrecognized connectID' })
    peer.send({ type: 'CLOSE_REQ', connectId: 8, reason: '' })
    t.match(await peer.next('CLOSE_RSP'), { connectId: 8, error: 'Unknown connectID' })
  })
  await stillDials(peer)
})

t.test('a number that is dialled twice is dialled once', async (t) => {
  const { peer, agent } = await joined(t)
  const stuck = await stuckTarget(t)
  const request = { type: 'DIAL_REQ', protocol: 'tcp', address: stuck.address, random: 2n ** 63n - 1n } as const
  await counts(agent, violation('duplicate_dial'), 1, async () => peer.send(request, request))
  stuck.release()
  t.match(await peer.next('DIAL_RSP'), { random: 2n ** 63n - 1n, error: '' })
  await stillDials(peer)
  t.equal(peer.received.filter(({ type }) => type === 'DIAL_RSP').length, 2)
})

t.test('a server cannot have the agent dial what it does not dial', async (t) => {
  const { peer } = await joined(t)
  for (const [protocol, address, error] of [
    ['unix', '/run/docker.sock', 'dial unix: protocol not allowed by this agent, it dials tcp, tcp4 and tcp6 only'],
    ['tcp', '169.254.169.254:80', 'dial tcp 169.254.169.254:80: link-local addresses are not allowed by this agent'],
    ['tcp', '[::ffff:169.254.169.254]:80', /link-local addresses are not allowed/],
    ['tcp', '127.0.0.1', 'dial tcp: address 127.0.0.1: missing port in address'],
    ['tcp', '127.0.0.1:70000', 'dial tcp: address 70000: invalid port'],
    ['', '', /not allowed/],
  ] as const) {
    peer.send({ type: 'DIAL_REQ', protocol, address, random: 1 })
    t.match(await peer.next('DIAL_RSP'), { random: 1, connectId: 0, error })
  }
  await stillDials(peer)
})

t.test('a server that sends beyond its credit loses that connection and no other', async (t) => {
  const { peer, agent } = await joined(t, allExtensions)
  const stalls = await listenTarget(t, () => undefined)
  peer.send({ type: 'DIAL_REQ', protocol: 'tcp', address: stalls.address, random: 1 })
  const { connectId } = await peer.next('DIAL_RSP')
  const accepted = [...stalls.sockets][0] ?? (await stalls.next())
  for (let sent = 0; sent < FLOOD_BYTES; sent += piece.length) {
    peer.send({ type: 'DATA', connectId, error: '', data: piece }) // whatever credit there is
  }
  t.match(await peer.next('CLOSE_RSP'), { connectId, error: 'flow-control-violation' })
  await endOf(accepted)
  await stillDials(peer)
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 1)
})

t.test("when the server's connection ends, so do the agent's connections and dials", async (t) => {
  const { peer, agent } = await joined(t)
  await stillDials(peer)
  const [open] = [...target.sockets].slice(-1)
  const ended = endOf(open!)
  const stuck = await stuckTarget(t)
  peer.send({ type: 'DIAL_REQ', protocol: 'tcp', address: stuck.address, random: 5 })
  await eventually(
    'the agent dials',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 1,
  )
  peer.socket.destroy()
  await ended
  await agent.logged('disconnected')
  await eventually(
    'the agent stops dialling',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 0,
  )
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
})
