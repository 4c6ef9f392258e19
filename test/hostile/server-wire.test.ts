/**
 * A compromised hub against our proxy-agent by how it speaks: floods of HTTP/2, silence in the middle of a word, credit and windows that it
 * does not grant, lists and lanes that nobody asked for. What goes through the honest hub goes on. The cases of docs/threat-model.md.
 */
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { offered, without, writeExtensions } from '../../src/tunnel/extensions.ts'
import { HELLO_BYTES, LANE_ALPN } from '../../src/tunnel/lane.ts'
import type { Int64, Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { endOf, readBytes } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { AGENT, figure, untilStill } from '../integration/figures.ts'
import {
  data,
  END_STREAM,
  frame,
  headers,
  ping,
  type RawHttp2,
  resetStream,
  settings,
} from '../integration/raw-http2.ts'
import { listenTarget, pour } from '../integration/target.ts'
import { grpcMessage } from '../integration/wire.ts'
import { taken, type WirePeer } from '../integration/wire-server.ts'
import { type Attack, withstand } from './attack.ts'
import { ended, honestAnswer, principal, startEvilHub } from './evil-hub.ts'
import { floodUnread } from './stranger.ts'

/** Source: RFC 9113 section 7. */
const ENHANCE_YOUR_CALM = 11
/** Of a connection when it opens, and what is read of a target at once: bytes. */
const [WINDOW_BYTES, READ_BYTES] = [64 * 1024, 64 * 1024]
/** What HTTP/2 grants a stream and a connection before anybody says more: bytes. Source: RFC 9113 section 6.9.2. */
const HTTP2_WINDOW_BYTES = 65_535
/** Connections that starve. */
const STARVED = 20
/** Lists of replicas that are sent at once, and how many may be gone by: ten, and one for each second that it takes. */
const [LISTS, MOST_LISTS] = [500, 15]
const OFFERS = 500
const hello = Buffer.from('hello')

const evil = await startEvilHub(t, { policy: 'rules: [{ allow: { cidr: 127.0.0.0/8 } }]', flags: ['--lanes=2'] })
const { agent, target, habits, onStream, comesAgain, comesToRaw, dials } = evil

const lost = `${AGENT}server_connection_failure_count{direction="from_server"}`
const end = { event: 'server-end', principal }

/** @param why as the agent tells it */
const flooding = (what: string, first: Buffer, one: Buffer, why: RegExp): Attack => ({
  what: `a flood of HTTP/2: ${what}`,
  act: async () => floodUnread(await comesToRaw(), first, one),
  saw: 'hung up on',
  metric: lost,
  audit: { ...end, reason: why },
})
const NOTHING = Buffer.alloc(0)
const FLOODING = /^Flooding was detected in this HTTP\/2 session/
const floods: Attack[] = [
  flooding('PINGs, unread', NOTHING, ping(), FLOODING),
  flooding('SETTINGS, unread', NOTHING, settings(), FLOODING),
  flooding('CONTINUATION', headers(1, [], END_STREAM), frame('CONTINUATION', 0, 1), /^Too many CONTINUATION frames/),
  flooding('DATA without bytes', NOTHING, data(1, NOTHING), /^Too many invalid HTTP\/2 frames$/),
  flooding('RST_STREAM of its stream', NOTHING, resetStream(1, ENHANCE_YOUR_CALM), /ENHANCE_YOUR_CALM$/),
  flooding('RST_STREAM of streams that are not', NOTHING, resetStream(3, ENHANCE_YOUR_CALM), /^Protocol error$/),
]

/** Bytes of messages that have come to a server. */
const bytesOf = ({ received }: RawHttp2): number =>
  received.reduce((sum, { type, payload }) => sum + (type === 'DATA' ? payload.length : 0), 0)
const dataOf = ({ received }: WirePeer, id: Int64): number =>
  received.reduce((sum, one) => sum + (one.type === 'DATA' && one.connectId === id ? one.data.length : 0), 0)
const buffered = (): Promise<number> => figure(agent, 'culvert_agent_buffered_bytes')
const dialTo = (address: string, random: Int64): Packet => ({ type: 'DIAL_REQ', protocol: 'tcp', address, random })

const starvation: Attack[] = [
  {
    what: 'starvation: a server that grants no credit is sent a window of each connection, and another one on its stream goes on',
    async act(t) {
      const source = await listenTarget(t, pour)
      const it = await onStream()
      const ids: Int64[] = []
      for (let count = 0; count < STARVED; count++) ids.push((await dials(source.address)).connectId)
      const isBlocked = (id: Int64): boolean =>
        it.received.some((one) => one.type === 'BLOCKED' && one.connectId === id)
      await eventually('all have had their windows', () => ids.every(isBlocked), Boolean)
      const { connectId } = await dials(target.address)
      it.send({ type: 'DATA', connectId, error: '', data: hello })
      await eventually('the echo', () => dataOf(it, connectId) === hello.length, Boolean)
      const most = Math.max(...ids.map((id) => dataOf(it, id)))
      const held = await buffered()
      for (const id of [...ids, connectId]) it.send({ type: 'CLOSE_REQ', connectId: id, reason: '' })
      await eventually('all are closed', () => source.sockets.size === 0, Boolean)
      return [most <= WINDOW_BYTES + READ_BYTES, held <= STARVED * READ_BYTES]
    },
    saw: [true, true],
    metric: `${AGENT}stream_packets_total{segment="from_agent",packet_type="BLOCKED"}`,
    audit: { event: 'end', principal, outcome: 'reset' },
  },
  {
    what: 'starvation: a server that opens no window of HTTP/2 is sent the first one and no more',
    async act(t) {
      const source = await listenTarget(t, pour)
      const raw = await comesToRaw()
      for (let count = 0; count < STARVED; count++) {
        raw.write(data(1, grpcMessage(encodePacket(dialTo(source.address, count)))))
      }
      await eventually('the first window is full', () => bytesOf(raw) >= HTTP2_WINDOW_BYTES, Boolean)
      await eventually('all are connected', () => source.sockets.size === STARVED, Boolean)
      // But for the neighbour's few; and there may be none at all, if no target was read ahead of the window.
      await untilStill('bytes that wait', async () => 1 + Math.round((await buffered()) / READ_BYTES))
      const [got, held] = [bytesOf(raw), await buffered()]
      raw.socket.destroy()
      await eventually('all are closed', () => source.sockets.size === 0, Boolean)
      return [got, held <= 2 * STARVED * READ_BYTES] // one read on its way, and one behind it
    },
    saw: [HTTP2_WINDOW_BYTES, true],
    metric: lost,
    audit: { event: 'end', principal, outcome: 'reset', by: 'tunnel' },
  },
]

const slow: Attack[] = [
  {
    what: 'no answer to Connect',
    async act() {
      await onStream() // which is answered as before
      habits.answer = 'none'
      try {
        return await ended(await comesAgain())
      } finally {
        habits.answer = honestAnswer
        evil.hangUp() // on an attempt beside that one
      }
    },
    saw: 'left',
    metric: 'culvert_agent_failed_connects_total',
    audit: { event: 'server', verdict: 'refused', reason: /^no answer within \d+ ms$/ },
  },
  {
    what: 'half a message, and then nothing',
    async act() {
      const it = await onStream()
      habits.answersHeartbeats = false // they would come to be the other half
      try {
        it.sendRaw(grpcMessage(Buffer.alloc(1_000)).subarray(0, 500))
        return await ended(it)
      } finally {
        habits.answersHeartbeats = true
      }
    },
    saw: 'left',
    metric: lost,
    audit: { ...end, reason: 'nothing heard from the server for too long' },
  },
]

const lists: Attack[] = [
  {
    what: 'lists of replicas without end, each of another one: few are sought, and not for longer than they are listed',
    async act() {
      const it = await onStream()
      const told = (what: string): number => agent.log.filter(({ msg }) => msg === what).length
      const before = told('replica is listed')
      // Whoever comes next lists none, and what was listed last is forgotten.
      habits.answer = { ...taken, 'culvert-extensions': writeExtensions(without(offered, 'servers')) }
      for (let count = 0; count < LISTS; count++) {
        const name = `r-${count}`
        it.send({ type: 'SERVERS', servers: [{ id: name, address: '', serverName: `${name}.example`, workers: 1 }] })
      }
      await ended(it)
      await eventually('none is sought', () => told('replica is listed no more') === told('replica is listed'), Boolean)
      habits.answer = honestAnswer
      await comesAgain()
      const sought = told('replica is listed') - before
      return sought > 0 && sought <= MOST_LISTS
    },
    saw: true,
    metric: lost,
    audit: { ...end, reason: 'the server lists replicas too often' },
  },
]

const WELCOME = Buffer.of(1, 0)
const offer: Packet = { type: 'LANE_OFFER', lane: 1, token: Buffer.alloc(16, 7) }

/** The agent's next connections for lanes are the attack's. @returns ends that */
function takesLanes(lane: (socket: TLSSocket) => void): Disposable {
  habits.takes = (socket) => {
    if (socket.alpnProtocol !== LANE_ALPN) return false
    lane(socket)
    return true
  }
  return {
    [Symbol.dispose]() {
      habits.takes = () => false
    },
  }
}

/** A target sends so much that the agent asks for lanes, and is given a token. @returns its connection */
async function givesLane(t: Test): Promise<{ readonly it: WirePeer; readonly id: Int64 }> {
  const source = await listenTarget(t, pour)
  const it = await comesAgain() // whoever has had no luck with lanes waits before it asks again
  it.onPacket((packet) => {
    if (packet.type !== 'DATA') return
    it.send({ type: 'WINDOW_UPDATE', connectId: packet.connectId, credit: packet.data.length })
  })
  const { connectId: id } = await dials(source.address)
  await it.next('LANES_WANTED')
  it.send(offer)
  return { it, id }
}
const packetFor = (it: WirePeer, type: Packet['type'], id: Int64): Promise<Packet> =>
  eventually(
    `${type} comes`,
    () => it.received.find((one) => one.type === type && 'connectId' in one && one.connectId === id),
    (packet) => packet !== undefined,
  ) as Promise<Packet>

const lanes: Attack[] = [
  {
    what: 'tokens for lanes that nobody asked for: none is opened',
    async act() {
      let opened = 0
      using _lanes = takesLanes(() => opened++)
      const it = await onStream()
      for (let lane = 1; lane <= OFFERS; lane++) it.send({ ...offer, lane })
      await dials('127.0.0.1:1') // it has come to all of them
      return [opened, await figure(agent, 'culvert_agent_open_lanes')]
    },
    saw: [0, 0],
    metric: 'culvert_agent_violations_total{kind="unexpected"}',
    audit: { event: 'violation', principal, verdict: 'refused', reason: 'unexpected' },
  },
  {
    what: 'a lane whose bytes make no sense, when a connection has moved to it',
    async act(t) {
      const lane = Promise.withResolvers<TLSSocket>()
      using _lanes = takesLanes(lane.resolve)
      const { it, id } = await givesLane(t)
      const socket = await lane.promise
      await readBytes(socket, HELLO_BYTES)
      socket.resume().write(WELCOME)
      await packetFor(it, 'MOVE', id)
      socket.write(Buffer.alloc(8, 1))
      return packetFor(it, 'CLOSE_RSP', id)
    },
    saw: { error: 'carrier-lost' },
    metric: 'culvert_agent_lane_ends_total{how="broken"}',
    audit: { event: 'violation', principal, verdict: 'refused', reason: 'lane: broken' },
  },
  {
    what: 'half of the welcome to a lane, and then nothing',
    async act(t) {
      const lane = Promise.withResolvers<TLSSocket>()
      using _lanes = takesLanes(lane.resolve)
      const { it, id } = await givesLane(t)
      const socket = await lane.promise
      const over = endOf(socket)
      socket.write(WELCOME.subarray(0, 1))
      await over
      it.send({ type: 'CLOSE_REQ', connectId: id, reason: '' })
      return 'hung up on'
    },
    saw: 'hung up on',
    metric: 'culvert_agent_failed_lanes_total{why="slow"}',
    audit: { event: 'server', principal, verdict: 'refused', reason: 'lane: slow' },
  },
]

withstand(evil.ground, [...floods, ...starvation, ...slow, ...lists, ...lanes])
