/**
 * Agents of the cluster `evil` that break the protocol on a stream which the hub has taken: numbers that are not theirs, frames that make
 * no sense, credit, floods. Each is refused, the audit log and the metrics say so, and the cluster `calm` notices nothing. The cases of
 * docs/threat-model.md.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { connectHead, ESTABLISHED, endOf, readAll } from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { connectHub } from '../integration/hub.ts'
import {
  END_HEADERS,
  type Fields,
  frame,
  headers as headersFrame,
  ping,
  type RawHttp2,
  resetStream,
  settings,
  speakRawHttp2,
} from '../integration/raw-http2.ts'
import { forced, refusal, streamEnd, violation } from '../integration/series.ts'
import { grpcMessage } from '../integration/wire.ts'
import {
  allExtensions,
  connectAgentPort,
  type GrpcEnd,
  openStream,
  openWireAgent,
  type WireAgent,
} from '../integration/wire-agent.ts'
import { type Attack, withstand } from './attack.ts'
import { agentId, evilAgents } from './evil-agents.ts'
import { startArena } from './hub.ts'
import { floodUnread } from './stranger.ts'

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
const { asAgent, dialThrough, connectThrough } = evilAgents(hub)
const cluster = 'evil'
const principal = 'cluster/evil/agent/a1'

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
    saw: [5, `${ESTABLISHED}hello`],
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
    saw: [`${ESTABLISHED}hello`, 2],
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
    saw: ESTABLISHED,
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

const raw = async (t: Test): Promise<RawHttp2> => {
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

/** Streams that the hub has ended so far, and the next one. */
const unread = (): number => hub.log.filter(({ msg }) => msg === 'agent stream ended by the server').length + 1

const floods: Attack[] = [
  {
    what: 'a flood of HTTP/2 PINGs, unread',
    act: async (t) => floodUnread(await raw(t), headersFrame(1, callFields()), ping()),
    saw: 'hung up on',
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
  {
    what: 'a flood of SETTINGS, unread',
    act: async (t) => floodUnread(await raw(t), headersFrame(1, callFields()), settings()),
    saw: 'hung up on',
    metric: streamEnd('protocol_error'),
    audit: { event: 'agent-end', cluster, reason: 'protocol_error' },
  },
  {
    what: 'a flood of CONTINUATION',
    act: async (t) => floodUnread(await raw(t), headersFrame(1, callFields(), 0), frame('CONTINUATION', 0, 1)),
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
]

withstand(hub, [...numbers, ...frames, ...credit, ...floods])
