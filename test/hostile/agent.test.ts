/**
 * Agents of the cluster `evil`, and those who would be agents of another: each tries to reach what is not its own, or to use up the
 * hub. Each is refused, the audit log and the metrics say so, and the cluster `calm` notices nothing. The cases of docs/threat-model.md.
 */
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { ENROLMENT_ALPN, readAnswer, writeRequest } from '../../src/pki/enrolment-wire.ts'
import { createJoinToken, readJoinToken } from '../../src/pki/join-token.ts'
import { createSigningRequest } from '../../src/pki/signing-request.ts'
import { create } from '../../src/pki/token-commands/create.ts'
import { LANE_ALPN, writeHello } from '../../src/tunnel/lane.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import type { Leaf } from '../integration/certificates.ts'
import { connectHead, endOf, openTunnel, readAll } from '../integration/client.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { askHub, connectHub } from '../integration/hub.ts'
import {
  END_HEADERS,
  type Fields,
  frame,
  headers as headersFrame,
  ping,
  resetStream,
  settings,
  speakRawHttp2,
} from '../integration/raw-http2.ts'
import { grpcMessage, type PacketOf } from '../integration/wire.ts'
import {
  allExtensions,
  connectAgentPort,
  type GrpcEnd,
  openStream,
  openWireAgent,
  type WireAgent,
} from '../integration/wire-agent.ts'
import { run } from '../pki/commands/command.ts'
import { type Attack, withstand } from './attack.ts'
import { startArena } from './hub.ts'

const MEBIBYTE = 1024 * 1024
const PIECE = Buffer.alloc(128 * 1024, 'x')
/** More than the largest window and the kernel take. */
const FLOOD_BYTES = 16 * MEBIBYTE
const WINDOW_BYTES = 64 * 1024
const MOST = 2n ** 63n - 1n
const LEAST = -(2n ** 63n)
const hello = Buffer.from('hello')

const hub = await startArena(t)
const { leaves } = hub

const violation = (kind: string): string => `culvert_server_violations_total{kind="${kind}"}`
const refusal = (why: string): string => `culvert_server_refused_agents_total{why="${why}"}`
const streamEnd = (how: string): string => `culvert_server_agent_stream_ends_total{how="${how}"}`
const handshakes = (why: string): string => `culvert_server_failed_handshakes_total{port="agent",why="${why}"}`
const enrolments = (kind: string, outcome: string): string =>
  `culvert_server_enrolments_total{kind="${kind}",outcome="${outcome}"}`
const forced = (reason: string): string => `culvert_server_forced_closes_total{reason="${reason}"}`
const cluster = 'evil'
const principal = 'cluster/evil/agent/a1'

/** An agent of `evil`, taken by the hub, under an id that no other attack has. It leaves when it has done its worst. */
async function asAgent<T>(
  t: Test,
  act: (agent: WireAgent) => Promise<T>,
  headers: OutgoingHttpHeaders = {},
  leaf: Leaf = leaves.evilAgent,
): Promise<T> {
  const agent = await openWireAgent(t, hub, { leaf, headers: { agentid: agentId(), ...headers } })
  await agent.answer()
  try {
    return await act(agent)
  } finally {
    await hangUp(agent)
  }
}
async function hangUp({ http, stream }: WireAgent): Promise<void> {
  if (stream.closed) return
  const gone = once(stream, 'close')
  http.destroy()
  await gone
}
let ids = 0
const agentId = (): string => `evil-${++ids}`

/** What the hub answers to someone who would be an agent. */
async function registers(t: Test, leaf: Leaf | 'none', headers: OutgoingHttpHeaders = {}): Promise<GrpcEnd> {
  const agent = await openWireAgent(t, hub, { leaf, headers: { agentid: agentId(), ...headers } })
  return agent.ended()
}

type Dialled = { readonly client: Socket; readonly request: PacketOf<'DIAL_REQ'> }

/** A client of `evil` whose dial has come to this agent. */
async function dialThrough(agent: WireAgent): Promise<Dialled> {
  const client = await connectHub(hub, leaves.evil)
  client.on('error', () => undefined)
  client.write(connectHead('10.0.0.1:443'))
  return { client, request: await agent.next('DIAL_REQ') }
}

/** An open connection of this agent. */
async function connectThrough(agent: WireAgent, connectId: number | bigint): Promise<Socket> {
  const { client, request } = await dialThrough(agent)
  agent.send({ type: 'DIAL_RSP', error: '', connectId, random: request.random })
  const [head] = (await within(once(client, 'data'), 'the 200')) as [Buffer]
  if (!head.toString().startsWith('HTTP/1.1 200')) throw new Error(`got ${head}`)
  return client.pause()
}

const text = async (socket: Socket): Promise<string> => (await readAll(socket)).toString()
const dataFor = (connectId: number | bigint, data = hello): Packet => ({ type: 'DATA', connectId, error: '', data })

const numbers: Attack[] = [
  {
    what: 'forged connection ids: data and closes for connections that nobody opened',
    act: (t) =>
      asAgent(t, async (agent) => {
        agent.send(
          dataFor(77),
          { type: 'CLOSE_RSP', connectId: 78, error: '' },
          { type: 'CLOSE_RSP', connectId: -1, error: 'x' },
        )
        return agent.next('CLOSE_REQ')
      }),
    saw: { connectId: 77 },
    metric: violation('unknown_connection'),
    audit: { event: 'violation', cluster, principal, reason: 'unknown-connection' },
  },
  {
    what: "another cluster's connection ids: all that an agent of calm can have given so far",
    act: (t) =>
      asAgent(t, async (agent) => {
        for (let id = 1; id <= 500; id++) agent.send(dataFor(id), { type: 'CLOSE_RSP', connectId: id, error: 'gone' })
        return eventually(
          'each is refused',
          () => agent.received.length,
          (count) => count === 500,
        )
      }),
    saw: 500,
    metric: violation('unknown_connection'),
    audit: { event: 'violation', cluster, reason: 'unknown-connection' },
  },
  {
    what: 'an answer to the dial of another cluster, by its very number',
    async act(t) {
      const victim = await openWireAgent(t, hub, { leaf: leaves.thirdAgent, headers: { agentid: 'victim' } })
      await victim.answer()
      const client = await connectHub(hub, leaves.third)
      client.write(connectHead('10.0.0.1:443'))
      const { random } = await victim.next('DIAL_REQ')
      const refused = await asAgent(t, (agent) => {
        agent.send({ type: 'DIAL_RSP', error: '', connectId: 5, random }, dataFor(5, Buffer.from('forged')))
        return agent.next('CLOSE_REQ')
      })
      victim.send({ type: 'DIAL_RSP', error: '', connectId: 5, random }, dataFor(5), {
        type: 'CLOSE_RSP',
        connectId: 5,
        error: '',
      })
      const got = await text(client)
      client.destroy()
      await victim.leave()
      return [refused.connectId, got]
    },
    saw: [5, 'HTTP/1.1 200 Connection Established\r\n\r\nhello'],
    metric: violation('unknown_dial'),
    audit: { event: 'violation', cluster, reason: 'unknown-dial' },
  },
  {
    what: 'a dial that is answered twice, the second time for another connection',
    act: (t) =>
      asAgent(t, async (agent) => {
        const { client, request } = await dialThrough(agent)
        const answer: Packet = { type: 'DIAL_RSP', error: '', connectId: 1, random: request.random }
        agent.send(answer, { ...answer, connectId: 2 }, dataFor(1), { type: 'CLOSE_RSP', connectId: 1, error: '' })
        return [await text(client), (await agent.next('CLOSE_REQ')).connectId]
      }),
    saw: ['HTTP/1.1 200 Connection Established\r\n\r\nhello', 2],
    metric: violation('unknown_dial'),
    audit: { event: 'violation', cluster, reason: 'unknown-dial' },
  },
  {
    what: 'a number that is used again when its connection is over',
    act: (t) =>
      asAgent(t, async (agent) => {
        const { client, request } = await dialThrough(agent)
        const answer: Packet = { type: 'DIAL_RSP', error: '', connectId: 1, random: request.random }
        agent.send(answer, { type: 'CLOSE_RSP', connectId: 1, error: '' })
        await text(client)
        agent.send({ ...answer, connectId: 9 })
        return agent.next('CLOSE_REQ')
      }),
    saw: { connectId: 9 },
    metric: violation('unknown_dial'),
    audit: { event: 'violation', cluster, reason: 'unknown-dial' },
  },
  {
    what: 'a connection id that is in use',
    act: (t) =>
      asAgent(t, async (agent) => {
        const first = await connectThrough(agent, 1)
        const { client, request } = await dialThrough(agent)
        agent.send({ type: 'DIAL_RSP', error: '', connectId: 1, random: request.random })
        const answer = await text(client)
        agent.send(dataFor(1))
        const [data] = (await within(once(first.resume(), 'data'), 'data')) as [Buffer]
        return [answer.split('\r\n')[0], String(data)]
      }),
    saw: ['HTTP/1.1 502 the agent answered with a connection id that it cannot use', 'hello'],
    metric: violation('unexpected'),
    audit: { event: 'violation', cluster, reason: 'unexpected' },
  },
  {
    what: 'data before the answer to its dial',
    act: (t) =>
      asAgent(t, async (agent) => {
        const { client, request } = await dialThrough(agent)
        agent.send(dataFor(4), { type: 'DIAL_RSP', error: '', connectId: 4, random: request.random })
        agent.send({ type: 'CLOSE_RSP', connectId: 4, error: '' })
        return text(client)
      }),
    saw: 'HTTP/1.1 200 Connection Established\r\n\r\n',
    metric: violation('unknown_connection'),
    audit: { event: 'violation', cluster, reason: 'unknown-connection' },
  },
  {
    what: 'data after the close of its connection',
    act: (t) =>
      asAgent(t, async (agent) => {
        const client = await connectThrough(agent, 6)
        const got = text(client)
        agent.send(dataFor(6), { type: 'CLOSE_RSP', connectId: 6, error: '' }, dataFor(6), dataFor(6))
        return got
      }),
    saw: 'hello',
    metric: 'culvert_server_connection_ends_total{how="finished"}', // it may have crossed: no violation, and it goes nowhere
    audit: { event: 'end', cluster, bytesFromTarget: 5 },
  },
  {
    what: 'int64 extremes as ids and numbers',
    act: (t) =>
      asAgent(t, async (agent) => {
        for (const extreme of [MOST, LEAST, -1, 0]) {
          agent.send(dataFor(extreme), { type: 'DIAL_RSP', error: '', connectId: extreme, random: extreme })
        }
        const client = await connectThrough(agent, MOST)
        agent.send(dataFor(MOST), { type: 'CLOSE_RSP', connectId: MOST, error: '' })
        return text(client)
      }),
    saw: 'hello',
    metric: violation('unknown_dial'),
    audit: { event: 'violation', cluster, reason: 'unknown-dial' },
  },
]

function sentMessage(agent: WireAgent, message: Buffer): Promise<GrpcEnd> {
  agent.sendMessage(message)
  return agent.ended()
}

const frames: Attack[] = [
  {
    what: 'packets that only a server sends',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          agent.send(
            { type: 'DIAL_REQ', protocol: 'tcp', address: hub.echo.address, random: 1 },
            { type: 'CLOSE_REQ', connectId: 1, reason: '' },
            { type: 'GOING_AWAY', reason: 'no', deadlineMs: 1, reconnectAfterMs: 1 },
            { type: 'POLICY', version: 'v', rules: '{"rules":[]}' },
          )
          agent.send(dataFor(1))
          return agent.next('CLOSE_REQ') // and nothing before it
        },
        allExtensions,
      ),
    saw: { connectId: 1 },
    metric: violation('unexpected'),
    audit: { event: 'violation', cluster, reason: 'unexpected' },
  },
  {
    what: 'unknown types and fields, and messages of nothing, more than a thousand in a minute',
    act: (t) =>
      asAgent(t, async (agent) => {
        const unknown = [Buffer.from([8, 63]), Buffer.from([8, 63, 0xfa, 0x3f, 1, 0x41]), Buffer.alloc(0)]
        for (let count = 0; count < 1_002; count++) agent.sendMessage(unknown[count % 3]!)
        return agent.ended()
      }),
    saw: { code: 8, message: 'too many frames that mean nothing here' },
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
  {
    what: 'a second stream on one connection',
    act: (t) => asAgent(t, (agent) => openStream(agent.http, { headers: { agentid: 'second' } }).ended()),
    saw: { code: 8, message: 'one stream per connection' },
    metric: refusal('second_stream'),
    audit: { event: 'agent', verdict: 'refused', reason: 'one stream per connection' },
  },
  {
    what: 'a frame over the maximum',
    act: (t) => asAgent(t, (agent) => sentMessage(agent, Buffer.alloc(4 * MEBIBYTE + 1))),
    saw: { code: 8, message: /larger than max/ },
    metric: streamEnd('too_large'),
    audit: { event: 'agent-end', cluster, reason: 'too_large' },
  },
  {
    what: 'a message that is no packet',
    act: (t) => asAgent(t, (agent) => sentMessage(agent, Buffer.alloc(9, 0xff))),
    saw: { code: 13 },
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
]

const credit: Attack[] = [
  ...[0, -1, 2 ** 31].map((granted) => ({
    what: `credit that makes no sense: ${granted}`,
    act: (t: Test) =>
      asAgent(
        t,
        async (agent) => {
          const ended = endOf(await connectThrough(agent, 1))
          agent.send({ type: 'WINDOW_UPDATE', connectId: 1, credit: granted })
          await ended
          return agent.next('CLOSE_REQ')
        },
        allExtensions,
      ),
    saw: { connectId: 1, reason: 'flow-control-violation' },
    metric: forced('flow_control_violation'),
    audit: { event: 'end', cluster, by: 'self', reason: 'flow-control-violation' },
  })),
  {
    what: 'data beyond the credit',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          const ended = endOf(await connectThrough(agent, 1))
          for (let sent = 0; sent < FLOOD_BYTES; sent += PIECE.length) {
            agent.send({ type: 'DATA', connectId: 1, error: '', data: PIECE })
          }
          await ended
          return agent.next('CLOSE_REQ')
        },
        allExtensions,
      ),
    saw: { connectId: 1, reason: 'flow-control-violation' },
    metric: forced('flow_control_violation'),
    audit: { event: 'end', cluster, by: 'self', reason: 'flow-control-violation' },
  },
  {
    what: 'starvation: an agent that grants no credit is sent a window and no more, and its client waits',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          const client = await connectThrough(agent, 1)
          client.write(Buffer.alloc(MEBIBYTE))
          await agent.next('BLOCKED')
          const bytes = (): number =>
            agent.received.reduce((sum, packet) => sum + (packet.type === 'DATA' ? packet.data.length : 0), 0)
          await eventually('a window has come', bytes, (sum) => sum >= WINDOW_BYTES)
          client.destroy()
          return bytes() <= WINDOW_BYTES + PIECE.length
        },
        allExtensions,
      ),
    saw: true,
    metric: 'konnectivity_network_proxy_server_stream_packets_total{segment="to_agent",packet_type="BLOCKED"}',
    audit: { event: 'end', cluster, outcome: 'reset' },
  },
]

const raw = async (t: Test) => {
  const peer = speakRawHttp2(await connectAgentPort(t, hub, leaves.evilAgent), { polite: false })
  peer.socket.on('error', () => undefined)
  await peer.next(({ type }) => type === 'SETTINGS')
  return peer
}
const callFields = (): Fields => [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':path', '/AgentService/Connect'],
  [':authority', 'hub'],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
  ['agentid', agentId()],
]

/** Writes it again and again, and reads nothing, until the hub hangs up. */
async function flood(t: Test, first: Buffer, one: Buffer): Promise<string> {
  const peer = await raw(t)
  const closed = new Promise((resolve) => peer.socket.once('close', resolve))
  peer.socket.pause()
  peer.write(first)
  const many = Buffer.concat(Array.from({ length: 2_000 }, () => one))
  for (let count = 0; count < 200 && peer.socket.writable; count++) {
    if (!peer.write(many)) await Promise.race([once(peer.socket, 'drain').catch(() => undefined), closed])
  }
  peer.socket.resume()
  await within(closed, 'the hub hangs up')
  return 'hung up on'
}

/** So many at once. @returns how one was refused */
async function crowd(t: Test, count: number): Promise<GrpcEnd | undefined> {
  const opened = Array.from({ length: count }, () =>
    openWireAgent(t, hub, { leaf: leaves.crowdedAgent, headers: { agentid: agentId() } }),
  )
  const agents = await Promise.all(opened)
  const taken = { code: 0, message: 'taken' }
  const ends = await Promise.all(
    agents.map((agent) =>
      Promise.race([
        agent.ended(),
        agent.answer().then(({ 'grpc-status': status }) => (status === undefined ? taken : agent.ended())),
      ]),
    ),
  )
  await Promise.all(agents.map(hangUp))
  return ends.find(({ code }) => code !== 0)
}

const floods: Attack[] = [
  {
    what: 'a flood of HTTP/2 PINGs, unread',
    act: (t) => flood(t, headersFrame(1, callFields()), ping()),
    saw: 'hung up on',
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
  {
    what: 'a flood of SETTINGS, unread',
    act: (t) => flood(t, headersFrame(1, callFields()), settings()),
    saw: 'hung up on',
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
  {
    what: 'a flood of CONTINUATION',
    act: (t) => flood(t, headersFrame(1, callFields(), 0), frame('CONTINUATION', 0, 1)),
    saw: 'hung up on',
    metric: refusal('malformed'),
    audit: { event: 'agent', verdict: 'refused', reason: 'no HTTP/2' },
  },
  {
    what: 'a flood of streams and RST_STREAM',
    async act(t) {
      const peer = await raw(t)
      const closed = new Promise((resolve) => peer.socket.once('close', resolve))
      peer.write(headersFrame(1, callFields()))
      for (let id = 3; id < 2_000 && peer.socket.writable; id += 2) {
        peer.write(headersFrame(id, callFields(), END_HEADERS), resetStream(id, 8))
      }
      await within(closed, 'the hub hangs up')
      return 'hung up on'
    },
    saw: 'hung up on',
    metric: refusal('second_stream'),
    audit: { event: 'agent', verdict: 'refused', reason: 'many streams on one connection' },
  },
  {
    what: 'a flood of PINGs of the tunnel, unread',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          agent.stream.pause()
          const burst = Buffer.concat(Array(10_000).fill(grpcMessage(encodePacket({ type: 'PING', nonce: 1 }))))
          const gone = new Promise((resolve) => agent.stream.once('close', resolve))
          for (let sent = 0; sent < 25 && !agent.stream.destroyed; sent++) agent.sendRaw(burst)
          await hub.logged('agent stream ended by the server', unread())
          agent.stream.resume()
          await within(gone, 'the stream ends')
          return 'ended'
        },
        allExtensions,
      ),
    saw: 'ended',
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
  {
    what: 'more agents than the cluster may have',
    act: (t) => crowd(t, 8),
    saw: { code: 8, message: 'cluster crowded is at its limit of 4 agents' },
    metric: 'culvert_server_cluster_refusals_total{cluster="crowded",limit="agents"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'cluster crowded is at its limit of 4 agents' },
  },
  {
    what: 'agents that join without end',
    act: (t) => crowd(t, 40),
    saw: { code: 8, message: /cluster crowded is at its limit of/ },
    metric: 'culvert_server_cluster_refusals_total{cluster="crowded",limit="agent_joins"}',
    audit: { event: 'agent', verdict: 'refused', reason: /agents that join one after the other/ },
  },
]
/** Streams that the hub has ended so far, and the next one. */
const unread = (): number => hub.log.filter(({ msg }) => msg === 'agent stream ended by the server').length + 1

/** Connected from an address of its own, as the audit log tells a stranger's refusal once a minute. */
async function stranger(t: Test, index: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: hub.agentPort, localAddress: `127.0.1.${index + 1}` })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  await event(socket, 'connect')
  return socket
}
const hungUp = async (socket: Socket): Promise<string> => {
  await endOf(socket)
  return 'hung up on'
}

/** @param localAddress for whom the audit log may have told of already */
async function speaking(t: Test, alpn: string, leaf?: Leaf, localAddress = '127.0.0.1'): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port: hub.agentPort,
    ca: hub.pki.authority.certificatePem,
    ...(leaf && { cert: leaf.cert, key: leaf.key }),
    ALPNProtocols: [alpn],
    localAddress,
  } as ConnectionOptions)
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  await event(socket, 'secureConnect')
  return socket
}

const slow: Attack[] = [
  {
    what: 'a handshake that never comes to its end',
    async act(t, index) {
      const socket = await stranger(t, index)
      socket.write(Buffer.from([22, 3, 1, 2, 0, 1]))
      return hungUp(socket)
    },
    saw: 'hung up on',
    metric: handshakes('slow'),
    audit: { event: 'agent', verdict: 'refused', reason: 'TLS handshake: slow' },
  },
  {
    what: 'bytes that are no handshake',
    async act(t, index) {
      const socket = await stranger(t, 100 + index)
      socket.write('GET / HTTP/1.1\r\n\r\n')
      return hungUp(socket)
    },
    saw: 'hung up on',
    metric: handshakes('failed'),
    audit: { event: 'agent', verdict: 'refused', reason: 'TLS handshake: failed' },
  },
  {
    what: 'bytes that are no HTTP/2',
    async act(t) {
      const socket = await speaking(t, 'h2', leaves.evilAgent, '127.0.1.200')
      socket.write('GET / HTTP/1.1\r\nHost: hub\r\n\r\n'.repeat(10))
      return hungUp(socket)
    },
    saw: 'hung up on',
    metric: refusal('malformed'),
    audit: { event: 'agent', verdict: 'refused', reason: 'no HTTP/2' },
  },
  {
    what: 'a connection without a stream',
    act: async (t) => hungUp(await connectAgentPort(t, hub, leaves.evilAgent)),
    saw: 'hung up on',
    metric: refusal('slow'),
    audit: { event: 'agent', verdict: 'refused', reason: 'no stream in time' },
  },
  {
    what: 'a lane that does not show its token',
    act: async (t) => hungUp(await speaking(t, LANE_ALPN, leaves.evilAgent)),
    saw: 'hung up on',
    metric: 'culvert_server_refused_lanes_total{why="slow"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'lane: slow' },
  },
  {
    what: 'messages that are begun and not finished, on more streams than may be held of',
    async act(t) {
      const half = grpcMessage(Buffer.alloc(4 * MEBIBYTE)).subarray(0, 4 * MEBIBYTE - 10)
      const agents: WireAgent[] = []
      for (let count = 0; count < 18; count++) {
        const agent = await openWireAgent(t, hub, { leaf: leaves.evilAgent, headers: { agentid: agentId() } })
        await agent.answer()
        agent.sendRaw(half)
        agents.push(agent)
      }
      const end = await Promise.race(agents.map((agent) => agent.ended()))
      await Promise.all(agents.map(hangUp))
      return end
    },
    saw: { code: 8, message: /too much is held of messages that were begun/ },
    metric: streamEnd('too_large'),
    audit: { event: 'agent-end', cluster, reason: 'too_large' },
  },
  {
    what: 'an enrolment without a request',
    act: async (t) => hungUp(await speaking(t, ENROLMENT_ALPN)),
    saw: 'hung up on',
    metric: enrolments('none', 'slow'),
    audit: { event: 'certificate', verdict: 'refused', reason: 'no request in time' },
  },
]

/** A token for a lane, as the hub gives it to the agent of somebody. */
async function laneToken(agent: WireAgent): Promise<Uint8Array> {
  agent.send({ type: 'LANES_WANTED', count: 1 })
  return (await agent.next('LANE_OFFER')).token
}
async function showToken(t: Test, token: Uint8Array, leaf: Leaf): Promise<string> {
  const lane = await speaking(t, LANE_ALPN, leaf)
  lane.write(writeHello(token))
  const [answer] = (await within(once(lane, 'data'), 'an answer')) as [Buffer]
  return answer.toString('hex')
}
const REFUSED = '0101'

const lanes: Attack[] = [
  {
    what: "a lane by the token of another cluster's agent",
    act: (t) =>
      asAgent(
        t,
        async (victim) => showToken(t, await laneToken(victim), leaves.evilAgent),
        allExtensions,
        leaves.thirdAgent,
      ),
    saw: REFUSED,
    metric: 'culvert_server_refused_lanes_total{why="foreign_token"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'lane: foreign_token' },
  },
  {
    what: 'a lane by a token that was used, and by one that was guessed',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          const token = await laneToken(agent)
          const first = await showToken(t, token, leaves.evilAgent)
          return [
            first,
            await showToken(t, token, leaves.evilAgent),
            await showToken(t, Buffer.alloc(16), leaves.evilAgent),
          ]
        },
        allExtensions,
      ),
    saw: ['0100', REFUSED, REFUSED],
    metric: 'culvert_server_refused_lanes_total{why="unknown_token"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'lane: unknown_token' },
  },
  {
    what: 'more lanes than there may be, and a connection that moves to one that is not there',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          for (let count = 0; count < 50; count++) agent.send({ type: 'LANES_WANTED', count: 2 ** 31 })
          const client = await connectThrough(agent, 1)
          const ended = endOf(client)
          agent.send({ type: 'MOVE', connectId: 1, carrier: 2 ** 40 })
          const { reason } = await agent.next('CLOSE_REQ')
          await ended
          const offered = new Set(
            agent.received.flatMap((packet) => (packet.type === 'LANE_OFFER' ? [String(packet.lane)] : [])),
          )
          const last = agent.received.findLast((packet) => packet.type === 'LANE_OFFER') as PacketOf<'LANE_OFFER'>
          const firstToken = agent.received.find((packet) => packet.type === 'LANE_OFFER') as PacketOf<'LANE_OFFER'>
          return [reason, offered.size > 50, last.lane > 0, await showToken(t, firstToken.token, leaves.evilAgent)]
        },
        allExtensions,
      ),
    saw: ['carrier-lost', true, true, REFUSED], // each offer takes back the oldest
    metric: 'culvert_server_refused_lanes_total{why="unknown_token"}',
    audit: { event: 'end', cluster, by: 'self', reason: 'carrier-lost' },
  },
]

/** A token of `culvert token create`. */
async function joinToken(more: readonly string[] = [], nowUnixMs?: number) {
  const argv = ['--cluster', 'evil', '--ca', hub.pki.caFile, '--tokens', hub.tokens, ...more]
  const outcome = await run(create, argv, nowUnixMs)
  return readJoinToken(outcome.kind === 'done' ? (outcome.lines[0] ?? '') : '')
}
async function enrol(t: Test, { id, secret }: { readonly id: string; readonly secret: string }): Promise<string> {
  const request = createSigningRequest(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  const socket = await speaking(t, ENROLMENT_ALPN)
  socket.write(writeRequest({ kind: 'join', id, secret, request }))
  const answer = readAnswer((await text(socket)).split('\n')[1] ?? '')
  return answer?.kind === 'refused' ? answer.why : String(answer?.kind)
}

const identities: Attack[] = [
  {
    what: 'a token that is shown twice',
    async act(t) {
      const token = await joinToken()
      return [await enrol(t, token), await enrol(t, token)]
    },
    saw: ['issued', 'used-token'],
    metric: enrolments('join', 'used_token'),
    audit: { event: 'certificate', rule: 'join', verdict: 'refused', reason: /used before/ },
  },
  {
    what: 'a token that has expired',
    act: async (t) => enrol(t, await joinToken(['--ttl', '1m'], Date.now() - 61_000)),
    saw: 'expired-token',
    metric: enrolments('join', 'expired_token'),
    audit: { event: 'certificate', rule: 'join', verdict: 'refused', reason: /has expired/ },
  },
  {
    what: 'a token of another hub, and one that was changed',
    async act(t) {
      const good = await joinToken()
      const foreign = createJoinToken(good.authority)
      return [await enrol(t, foreign), await enrol(t, { ...good, secret: foreign.secret }), await enrol(t, good)]
    },
    saw: ['unknown-token', 'unknown-token', 'issued'],
    metric: enrolments('join', 'unknown_token'),
    audit: { event: 'certificate', rule: 'join', verdict: 'refused', reason: /is not one of this hub/ },
  },
  {
    what: 'a user’s certificate at the agent port',
    act: (t) => registers(t, leaves.mallory),
    saw: { code: 16, message: /it is a user certificate/ },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /it is a user certificate/ },
  },
  {
    what: 'an API server’s certificate at the agent port',
    act: (t) => registers(t, leaves.calm),
    saw: { code: 16, message: /it is an apiserver certificate/ },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /it is an apiserver certificate/ },
  },
  {
    what: 'no certificate at all, with the name of another cluster',
    act: (t) => registers(t, 'none', { agentid: 'calm-agent', agentidentifiers: 'cluster=calm' }),
    saw: { code: 16, message: /none was sent/ },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /none was sent/ },
  },
  {
    what: 'a certificate for calm, of a CA that is not the hub’s',
    async act(t) {
      const other = await createAuthority({ trustDomain: 'hub.example' })
      const identity = { role: 'agent', cluster: 'calm', name: 'a1' } as const
      return registers(t, await hub.pki.issue('forged', { identity }, other))
    },
    saw: { code: 16 },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /client certificate not accepted/ },
  },
  {
    what: 'a certificate of a cluster that is not here',
    act: async (t) =>
      registers(t, await hub.pki.issue('nowhere', { identity: { role: 'agent', cluster: 'nowhere', name: 'a1' } })),
    saw: { code: 16, message: /the cluster nowhere is not one of this server/ },
    metric: 'culvert_server_unmapped_peers_total{port="agent"}',
    audit: { event: 'agent', verdict: 'refused', reason: /nowhere is not one of this server/ },
  },
  {
    what: 'the agent id of another identity',
    act: (t) => asAgent(t, () => registers(t, leaves.evilAgent2, { agentid: 'taken' }), { agentid: 'taken' }),
    saw: { code: 7, message: /this agent ID and another identity/ },
    metric: refusal('foreign_id'),
    audit: { event: 'agent', agent: 'taken', verdict: 'refused' },
  },
  {
    what: 'the agent id of another cluster’s agent, and identifiers that name its targets: no dial of calm comes',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          const own = askHub(hub, leaves.evil, { address: hub.echo.address })
          agent.send({ type: 'DIAL_RSP', error: 'mine', connectId: 0, random: (await agent.next('DIAL_REQ')).random })
          const { body } = await own
          await (await openTunnel(hub.as(leaves.calm), hub.echo.address)).destroy()
          return [body, agent.received.filter(({ type }) => type === 'DIAL_REQ').length]
        },
        { agentid: 'calm-agent', agentidentifiers: `host=127.0.0.1&ipv4=127.0.0.1&cidr=0.0.0.0/0&default-route=true` },
      ),
    saw: ['mine', 1],
    metric: streamEnd('lost'), // it is let in: as one of its own cluster, which is all it is
    audit: { event: 'agent', agent: 'calm-agent', cluster, principal, verdict: 'allowed' },
  },
  {
    what: 'a certificate that is revoked while its agent is connected, and comes again',
    async act(t) {
      const identity = { role: 'agent', cluster: 'evil', name: 'stolen' } as const
      const stolen = await hub.pki.issue('stolen', { identity })
      const agent = await openWireAgent(t, hub, { leaf: stolen, headers: { agentid: 'stolen' } })
      await agent.answer()
      const gone = new Promise((resolve) => agent.stream.once('close', resolve))
      const revokedMs = performance.now()
      await hub.revoke(new X509Certificate(stolen.cert).serialNumber.toLowerCase())
      await within(gone, 'its stream ends')
      return [performance.now() - revokedMs < 5_000, await registers(t, stolen)]
    },
    saw: [true, { code: 16, message: /it was revoked/ }],
    metric: 'culvert_server_cut_off_connections_total{port="agent",why="revoked"}',
    audit: { event: 'cut-off', reason: 'certificate revoked' },
  },
]

withstand(hub, [...numbers, ...frames, ...credit, ...floods, ...slow, ...lanes, ...identities])
