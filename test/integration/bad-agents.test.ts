/**
 * Agents that break the protocol: each pays alone. The witness is a tunnel through an honest agent, which drains, so that
 * new dials go to whoever else is connected.
 */
import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { makePki } from './certificates.ts'
import {
  askFor,
  connectFrontend,
  connectHead,
  ESTABLISHED,
  echoOver,
  endOf,
  type FrontendAnswer,
  openTunnel,
  readAll,
} from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { connectThrough as connectionOf, type Dialled, dialThrough as dialOf } from './dialled.ts'
import { counts, figure, figureBecomes, SERVER } from './figures.ts'
import { refusal, streamEnd, violation } from './series.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel } from './tunnel.ts'
import { grpcMessage, type PacketOf } from './wire.ts'
import {
  allExtensions,
  connectAgentPort,
  joinWireAgent,
  openStream,
  openWireAgent,
  type WireAgent,
} from './wire-agent.ts'

const HEARTBEAT_TIMEOUT_MS = 12_000
const MEBIBYTE = 1024 * 1024
const CREDIT_BYTES = 64 * 1024
const READ_BYTES = 128 * 1024
/** More than the kernel takes for a client that does not read, and the largest window, together. */
const FLOOD_BYTES = 16 * MEBIBYTE

const pki = await makePki(t)
const { server, agent } = await startTunnel(t, { pki, transport: 'uds' }, { flags: ['--drain-timeout=10m'] })
const target = await listenTarget(t, echo)
const beside = await openTunnel(server, target.address)
t.teardown(() => beside.destroy())
agent.signal('SIGTERM')
await server.logged('agent drains')

const hello = Buffer.from('hello')

const dialThrough = async (agent: WireAgent): Promise<Dialled> => dialOf(agent, await connectFrontend(server))
const connectThrough = async (agent: WireAgent, connectId: number): Promise<Socket> =>
  connectionOf(agent, connectId, await connectFrontend(server))

const answerOf = async (socket: Socket): Promise<string> => (await readAll(socket)).toString()

/** The agent is as good as ever: a dial through it works. */
async function stillServes(agent: WireAgent, connectId: number): Promise<void> {
  const socket = await connectThrough(agent, connectId)
  agent.send({ type: 'DATA', connectId, error: '', data: hello })
  await event(socket.resume(), 'data')
  socket.destroy()
}

const badRegistrations: readonly { what: string; headers: OutgoingHttpHeaders; message: string }[] = [
  { what: 'no agent id', headers: {}, message: 'expected one agent ID in the context, got []' },
  {
    what: 'two agent ids',
    headers: { agentid: ['a', 'b'] },
    message: 'expected one agent ID in the context, got [a b]',
  },
  {
    what: 'two sets of identifiers',
    headers: { agentid: 'a', agentidentifiers: ['host=a', 'host=b'] },
    message: 'expected at most one set of agent identifiers in the context, got [host=a host=b]',
  },
  {
    what: 'identifiers that cannot be read',
    headers: { agentid: 'a', agentidentifiers: 'host=a;host=b' },
    message: 'fail to parse url encoded string: invalid semicolon separator in query',
  },
  {
    what: 'an id of 5,000 characters',
    headers: { agentid: 'a'.repeat(5_000) },
    message: 'agent ID must not be longer than 4096 characters',
  },
]
for (const { what, headers, message } of badRegistrations) {
  t.test(`an agent with ${what} is refused in the words of the reference`, async (t) => {
    await counts(server, refusal('metadata'), 1, async () => {
      const peer = await openWireAgent(t, server, { headers })
      t.strictSame(await peer.ended(), { code: 2, message })
    })
    await echoOver(beside, what)
  })
}

t.test('a header list over the limit is refused', async (t) => {
  const peer = await openWireAgent(t, server, { headers: { agentid: 'a', padding: 'x'.repeat(16_384) } })
  t.strictSame(await peer.ended(), { code: 8, message: 'the header list is over the limit of 16384 bytes' })
  await echoOver(beside, 'large headers')
})

t.test('another service or method is UNIMPLEMENTED', async (t) => {
  for (const [path, message] of [
    ['/ProxyService/Proxy', 'unknown service ProxyService'],
    ['/AgentService/Other', 'unknown method Other for service AgentService'],
    ['/', 'malformed method name: "/"'],
  ] as const) {
    await counts(server, refusal('unknown_method'), 1, async () => {
      const peer = await openWireAgent(t, server, { path })
      t.strictSame(await peer.ended(), { code: 12, message })
    })
  }
  await echoOver(beside, 'paths')
})

t.test(
  'an agent whose connection ends without a word is gone at once, long before its heartbeats are missed',
  async (t) => {
    const peer = await joinWireAgent(t, server)
    const startMs = performance.now()
    await counts(server, streamEnd('lost'), 1, () => peer.leave())
    const tookMs = performance.now() - startMs
    t.ok(tookMs < HEARTBEAT_TIMEOUT_MS / 2, `${tookMs} ms`)
  },
)

t.test('a second stream on a connection is refused and the first goes on', async (t) => {
  const peer = await joinWireAgent(t, server)
  await counts(server, refusal('second_stream'), 1, async () => {
    t.strictSame(await openStream(peer.http).ended(), { code: 8, message: 'one stream per connection' })
  })
  await stillServes(peer, 1)
  await peer.leave()
  await echoOver(beside, 'second stream')
})

t.test('a connection to the agent port that opens no stream is ended', async (t) => {
  // A tunnel of its own: of the agents that a test plays nobody has to be so quick, and a real one comes again.
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags: ['--agent-stream-timeout=300ms'] })
  const beside = await openTunnel(server, target.address)
  await counts(server, refusal('slow'), 1, async () => {
    const socket = await connectAgentPort(t, server)
    await within(once(socket.resume(), 'close'), 'the server hangs up')
  })
  await echoOver(beside, 'no stream')
  beside.destroy()
})

type Broken = {
  readonly what: string
  readonly bytes: Buffer
  readonly end: { readonly code: number; readonly message: RegExp }
  readonly how: string
}
const broken: readonly Broken[] = [
  {
    what: 'a message over 4 MiB',
    bytes: grpcMessage(Buffer.alloc(4 * MEBIBYTE + 1)),
    end: { code: 8, message: /^grpc: received message larger than max: a message of 4194305 bytes/ },
    how: 'too_large',
  },
  {
    what: 'a message that is no packet',
    bytes: grpcMessage(Buffer.alloc(9, 0xff)),
    end: { code: 13, message: /^grpc: failed to unmarshal the received message: / },
    how: 'protocol_error',
  },
  {
    what: 'a packet that is cut short',
    bytes: grpcMessage(
      encodePacket({ type: 'DIAL_RSP', error: 'x'.repeat(50), connectId: 1, random: 2 }).subarray(0, 20),
    ),
    end: { code: 13, message: /^grpc: failed to unmarshal the received message: / },
    how: 'protocol_error',
  },
  {
    what: 'a compressed message',
    bytes: grpcMessage(hello, 1),
    end: { code: 13, message: /compressed/ },
    how: 'protocol_error',
  },
]
for (const { what, bytes, end, how } of broken) {
  t.test(`${what} ends its stream, and with it the connections and dials on it`, async (t) => {
    const peer = await joinWireAgent(t, server)
    const open = await connectThrough(peer, 1)
    const ended = endOf(open)
    const { client: pending } = await dialThrough(peer)
    await counts(server, streamEnd(how), 1, async () => {
      peer.sendRaw(bytes)
      t.match(await peer.ended(), end)
    })
    await ended
    open.destroy()
    // The honest agent, which drains, is now the only one: it dials, and finds nobody at that address in time or at all.
    pending.destroy()
    await figureBecomes(server, `${SERVER}established_connections`, 1)
    await echoOver(beside, what)
  })
}

t.test('a message of exactly 4 MiB is taken', async (t) => {
  const peer = await joinWireAgent(t, server)
  const data = Buffer.alloc(4 * MEBIBYTE - 100, 'x')
  const rest = 4 * MEBIBYTE - encodePacket({ type: 'DATA', connectId: 1, error: '', data }).length
  const socket = await connectThrough(peer, 1)
  const received = readAll(socket)
  peer.send({ type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(data.length + rest, 'x') })
  peer.send({ type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.equal((await received).length, data.length + rest)
  socket.destroy()
  await peer.leave()
})

t.test('packets of unknown types are counted and ignored, up to 1,000 in a minute', async (t) => {
  const peer = await joinWireAgent(t, server)
  const unknown = Buffer.from([8, 63]) // type 63
  await counts(server, violation('unknown_type'), 1_000, async () => {
    for (let count = 0; count < 1_000; count++) peer.sendMessage(unknown)
  })
  await stillServes(peer, 1)
  await counts(server, streamEnd('protocol_error'), 1, async () => {
    peer.sendMessage(unknown)
    t.strictSame(await peer.ended(), { code: 8, message: 'too many frames that mean nothing here' })
  })
  await echoOver(beside, 'unknown')
})

t.test('extension frames of an agent that offered none are counted and ignored', async (t) => {
  const peer = await joinWireAgent(t, server)
  t.notOk((await peer.answer())['culvert-extensions'], 'and it is offered none')
  const frames: Packet[] = [
    { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 },
    { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' },
    { type: 'BLOCKED', connectId: 1 },
    { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} },
    { type: 'PING', nonce: 1 },
    { type: 'MOVE', connectId: 1, carrier: 1 },
  ]
  await counts(server, violation('unexpected'), frames.length, async () => peer.send(...frames))
  await stillServes(peer, 1)
  t.notOk(peer.received.some(({ type }) => type === 'HEARTBEAT_ACK' || type === 'PONG'))
  await peer.leave()
})

t.test('packets that only a server sends are counted and ignored when an agent sends them', async (t) => {
  const peer = await joinWireAgent(t, server, allExtensions)
  await counts(server, violation('unexpected'), 4, async () => {
    peer.send(
      { type: 'DIAL_REQ', protocol: 'tcp', address: '127.0.0.1:1', random: 1 },
      { type: 'CLOSE_REQ', connectId: 1, reason: '' },
      { type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 1 },
      { type: 'GOING_AWAY', reason: 'no', deadlineMs: 1, reconnectAfterMs: 1 },
    )
  })
  await stillServes(peer, 1)
  await peer.leave()
  await echoOver(beside, 'roles')
})

t.test('data for a connection that does not exist is answered with a close and counted', async (t) => {
  const peer = await joinWireAgent(t, server)
  await counts(server, violation('unknown_connection'), 1, async () => {
    peer.send({ type: 'DATA', connectId: 77, error: '', data: hello })
    t.match(await peer.next('CLOSE_REQ'), { connectId: 77 })
  })
  peer.send({ type: 'DATA', connectId: 0, error: '', data: hello }) // as the reference: dropped
  await stillServes(peer, 78)
  await peer.leave()
  await echoOver(beside, 'unknown connection')
})

t.test("an agent's numbers mean nothing on another stream", async (t) => {
  const [one, other] = [await joinWireAgent(t, server), await joinWireAgent(t, server)]
  const socket = await connectFrontend(server)
  socket.write(connectHead('10.0.0.1:443'))
  const dialled = await eventually(
    'one of them is asked to dial',
    () => [one, other].find(({ received }) => received.length > 0),
    (agent) => agent !== undefined,
  )
  const stranger = dialled === one ? other : one
  const { random } = await dialled!.next('DIAL_REQ')
  const answer: Packet = { type: 'DIAL_RSP', error: '', connectId: 1, random }
  await counts(server, violation('unknown_dial'), 1, async () => {
    stranger.send(answer)
    t.match(await stranger.next('CLOSE_REQ'), { connectId: 1 })
  })
  dialled!.send(answer)
  const [head] = (await within(once(socket, 'data'), 'the 200')) as [Buffer]
  t.match(head.toString(), /^HTTP\/1\.1 200 /)
  await counts(server, violation('unknown_connection'), 0, async () => {
    stranger.send({ type: 'DATA', connectId: 1, error: '', data: Buffer.from('from a stranger') })
    await stranger.next('CLOSE_REQ')
  })
  dialled!.send({ type: 'DATA', connectId: 1, error: '', data: hello })
  const [data] = (await within(once(socket, 'data'), 'data')) as [Buffer]
  t.equal(data.toString(), 'hello')
  socket.destroy()
  await one.leave()
  await other.leave()
})

t.test('an answer to a dial that nobody made is counted, and its connection closed', async (t) => {
  const peer = await joinWireAgent(t, server)
  const unrecognized = `${SERVER}dial_failure_count{reason="unrecognized_response"}`
  const before = await figure(server, unrecognized)
  await counts(server, violation('unknown_dial'), 2, async () => {
    peer.send({ type: 'DIAL_RSP', error: '', connectId: 5, random: 2n ** 63n - 1n })
    t.match(await peer.next('CLOSE_REQ'), { connectId: 5 })
    peer.send({ type: 'DIAL_RSP', error: 'no', connectId: 0, random: -1 })
  })
  t.equal(await figure(server, unrecognized), before + 2)
  await stillServes(peer, 6)
  await peer.leave()
  await echoOver(beside, 'unknown dial')
})

t.test('a second answer to a dial does not touch the connection that the first one opened', async (t) => {
  const peer = await joinWireAgent(t, server)
  const { client: socket, request } = await dialThrough(peer)
  const answer: Packet = { type: 'DIAL_RSP', error: '', connectId: 1, random: request.random }
  await counts(server, violation('unknown_dial'), 2, async () => {
    peer.send(answer, answer, { ...answer, connectId: 2 })
  })
  peer.send({ type: 'DATA', connectId: 1, error: '', data: hello }, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.equal(await answerOf(socket), `${ESTABLISHED}hello`)
  t.strictSame(
    peer.received
      .filter(({ type }) => type === 'CLOSE_REQ')
      .map((packet) => (packet as PacketOf<'CLOSE_REQ'>).connectId),
    [2],
  )
  socket.destroy()
  await peer.leave()
})

t.test('an answer with a connection id that is in use fails its dial and not the connection that has it', async (t) => {
  const peer = await joinWireAgent(t, server)
  const first = await connectThrough(peer, 1)
  const { client: socket, request } = await dialThrough(peer)
  await counts(server, violation('unexpected'), 1, async () => {
    peer.send({ type: 'DIAL_RSP', error: '', connectId: 1, random: request.random })
    t.match(await answerOf(socket), /^HTTP\/1\.1 502 the agent answered with a connection id that it cannot use\r\n/)
  })
  socket.destroy()
  peer.send({ type: 'DATA', connectId: 1, error: '', data: hello })
  const [data] = (await within(once(first.resume(), 'data'), 'data')) as [Buffer]
  t.equal(data.toString(), 'hello')
  first.destroy()
  await peer.leave()
})

t.test("an agent's error text cannot add to the head of the answer", async (t) => {
  const peer = await joinWireAgent(t, server)
  const answers: FrontendAnswer[] = []
  for (const error of ['refused\r\nSet-Cookie: a=b\r\n\r\nbody', `too long ${'x'.repeat(MEBIBYTE)}`]) {
    const asked = askFor(server, '10.0.0.1:443')
    const { random } = await peer.next('DIAL_REQ')
    peer.send({ type: 'DIAL_RSP', error, connectId: 0, random })
    answers.push(await asked)
  }
  const [split, long] = answers
  t.strictSame(Object.keys(split!.headers), ['connection', 'content-type', 'proxy-status'])
  t.equal(split!.reason, 'refused Set-Cookie: a=b body')
  t.equal(long!.body.length, 4_096)
  await peer.leave()
})

t.test('an agent that sends beyond its credit loses that connection and no other', async (t) => {
  const peer = await joinWireAgent(t, server, allExtensions)
  const [greedy, modest] = [await connectThrough(peer, 1), await connectThrough(peer, 2)]
  for (let sent = 0; sent < FLOOD_BYTES; sent += READ_BYTES) {
    peer.send({ type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(READ_BYTES) }) // whatever credit there is
  }
  t.match(await peer.next('CLOSE_REQ'), { connectId: 1, reason: 'flow-control-violation' })
  await endOf(greedy)
  peer.send({ type: 'DATA', connectId: 2, error: '', data: hello })
  const [data] = (await within(once(modest.resume(), 'data'), 'data')) as [Buffer]
  t.equal(data.toString(), 'hello')
  modest.destroy()
  await peer.leave()
  await echoOver(beside, 'credit')
})

for (const credit of [0, -1, 2 ** 31]) {
  t.test(`an agent that grants a credit of ${credit} loses that connection and no other`, async (t) => {
    const peer = await joinWireAgent(t, server, allExtensions)
    const socket = await connectThrough(peer, 1)
    const ended = endOf(socket)
    peer.send({ type: 'WINDOW_UPDATE', connectId: 1, credit })
    t.match(await peer.next('CLOSE_REQ'), { connectId: 1, reason: 'flow-control-violation' })
    await ended
    socket.destroy()
    await stillServes(peer, 2)
    await peer.leave()
  })
}

t.test('an agent that grants nothing keeps its client waiting, and nobody else', async (t) => {
  const peer = await joinWireAgent(t, server, allExtensions)
  const socket = await connectThrough(peer, 1)
  socket.write(Buffer.alloc(MEBIBYTE))
  t.match(await peer.next('BLOCKED'), { connectId: 1 })
  const total = (): number =>
    peer.received.reduce(
      (sum, packet) => (packet.type === 'DATA' && packet.connectId === 1 ? sum + packet.data.length : sum),
      0,
    )
  await eventually('the data behind it comes', total, (bytes) => bytes >= CREDIT_BYTES)
  await stillServes(peer, 2)
  t.ok(total() <= CREDIT_BYTES + READ_BYTES, `${total()} bytes were sent`)
  socket.destroy()
  await peer.leave()
  await echoOver(beside, 'no credit')
})
