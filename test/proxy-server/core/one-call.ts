/** One call of gRPC mode with real sessions behind it and its owner written down, for stories about what a client is told. */
import { Buffer } from 'node:buffer'
import { dialErrorText } from '../../../src/proxy-server/core/dial-response.ts'
import { createProxyCall } from '../../../src/proxy-server/core/proxy-call.ts'
import type { ProxyCall } from '../../../src/proxy-server/core/proxy-call-owner.ts'
import type { Ending } from '../../../src/tunnel/connection.ts'
import type { Extensions } from '../../../src/tunnel/extensions.ts'
import type { Int64, Packet } from '../../../src/tunnel/packet.ts'
import type { SessionLimits } from '../../../src/tunnel/session-owner.ts'
import { type OneSession, oneSession } from '../../tunnel/one-session.ts'

export type OneCall = {
  readonly call: ProxyCall
  /** Agents in the order in which dials go to them, in turns. */
  readonly agents: readonly OneSession[]
  /** What the client was told since the last look; data as text. */
  readonly said: () => object[]
  /** What an agent was sent since the last look; data as text. */
  readonly asked: (agent?: number) => object[]
  /** The call's owner did, in order. */
  readonly did: string[]
  readonly endings: Ending[]
  reading: boolean
  /** Of a client that was hurried: whether its bytes still lie. */
  lie: () => boolean
  /** There is no agent. */
  alone: boolean
  /** The client has had the time to note its connections. */
  readonly note: () => void
  /** The frame that was handled is done with. */
  readonly turn: () => void
  /** So many bytes, or all that were handed on, have left. */
  readonly write: (bytes?: number) => void
  /** The agent's answer, and what it says afterwards. */
  readonly agentSays: (...packets: Packet[]) => void
  /** Dials and connects; the client has noted it, and nothing is left to look at. */
  readonly open: (random: Int64, id: Int64, agent?: number) => void
}

export const dialRequest = (random: Int64, address = '10.0.0.1:80', protocol = 'tcp'): Packet => ({
  type: 'DIAL_REQ',
  protocol,
  address,
  random,
})
export const dialled = (random: Int64, connectId: Int64): Packet => ({ type: 'DIAL_RSP', error: '', connectId, random })
export const dialFailed = (random: Int64, error: string): Packet => ({ type: 'DIAL_RSP', error, connectId: 0, random })
export const dialClose = (random: Int64): Packet => ({ type: 'DIAL_CLS', random })
export const closeRequest = (connectId: Int64, reason = ''): Packet => ({ type: 'CLOSE_REQ', connectId, reason })
export const closed = (connectId: Int64, error = ''): Packet => ({ type: 'CLOSE_RSP', error, connectId })
export const endOfData = (connectId: Int64, close = 0, reason = ''): Packet => ({
  type: 'END_OF_DATA',
  connectId,
  close,
  reason,
})
export const data = (connectId: Int64, text: string): Packet => ({
  type: 'DATA',
  connectId,
  error: '',
  data: Buffer.from(text),
})
/** As `said` and `asked` show it. */
export const shown = (connectId: Int64, text: string): object => ({ type: 'DATA', connectId, text })

const readable = (packet: Packet): object =>
  packet.type === 'DATA' ? shown(packet.connectId, Buffer.from(packet.data).toString('latin1')) : packet

export function oneCall(extensions?: Extensions, agentCount = 1, limits?: Partial<SessionLimits>): OneCall {
  const agents = Array.from({ length: agentCount }, () =>
    oneSession({ role: 'server', ...(extensions && { extensions }), ...(limits && { limits }) }),
  )
  let said: object[] = []
  let noting: (() => void)[] = []
  let turning: (() => void)[] = []
  const unwritten: { bytes: number; readonly written: (bytes: number) => void }[] = []
  let dialCount = 0

  const call = createProxyCall({
    dial(request, outcome) {
      const failed = (failure: Parameters<typeof dialErrorText>[0]): void =>
        outcome.failed(dialErrorText(failure), failure.kind === 'no-agent')
      const agent = agents[dialCount++ % agentCount]!
      if (one.alone) {
        failed({ kind: 'no-agent' })
        return () => one.did.push('cancelled a dial that had failed')
      }
      agent.session.dial(request, {
        connected: outcome.connected,
        failed(failure) {
          if (failure.kind === 'refused') failed({ kind: 'dial-error', text: failure.text })
          else if (failure.kind === 'lost') failed({ kind: 'agent-lost', cause: failure.reason })
          else failed({ kind: 'too-many-dials' })
        },
      })
      return () => agent.session.cancel(request.random)
    },
    send: (packet) => void said.push(packet),
    data(connectId, bytes, written) {
      said.push(shown(connectId, Buffer.from(bytes).toString('latin1')))
      unwritten.push({ bytes: bytes.length, written })
    },
    read(on) {
      one.reading = on
    },
    noted: (callback) => void noting.push(callback),
    later: (callback) => void turning.push(callback),
    violation: (kind) => void one.did.push(`counted ${kind}`),
    opened: () => (ending) => void one.endings.push(ending),
    settled: () => void one.did.push('settled'),
    hurry(lie) {
      one.did.push('hurried')
      one.lie = lie
    },
    cut: () => void one.did.push('cut'),
  })

  const one: OneCall = {
    call,
    agents,
    said() {
      const packets = said
      said = []
      return packets
    },
    asked: (agent = 0) => agents[agent]!.carrier.frames().map(readable),
    did: [],
    endings: [],
    reading: true,
    lie: () => false,
    alone: false,
    note() {
      const callbacks = noting
      noting = []
      for (const callback of callbacks) callback()
    },
    turn() {
      const callbacks = turning
      turning = []
      for (const callback of callbacks) callback()
    },
    write(bytes = Number.POSITIVE_INFINITY) {
      let left = bytes
      while (left > 0 && unwritten.length > 0) {
        const first = unwritten[0]!
        const count = Math.min(left, first.bytes)
        first.bytes -= count
        left -= count
        if (first.bytes === 0) unwritten.shift()
        first.written(count)
      }
    },
    agentSays(...packets) {
      const { session, carrier } = agents[0]!
      for (const packet of packets) session.receive(carrier, packet)
    },
    open(random, id, agent = 0) {
      const { session, carrier } = agents[agent]!
      call.receive(dialRequest(random))
      session.receive(carrier, dialled(random, id))
      one.note()
      one.said()
      one.asked(agent)
    },
  }
  return one
}
