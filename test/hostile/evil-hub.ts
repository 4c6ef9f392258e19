/**
 * A compromised hub and our proxy-agent, which is connected to an honest one as well: what goes through that one is the neighbour.
 */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { OutgoingHttpHeaders } from 'node:http2'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import type { Int64 } from '../../src/tunnel/packet.ts'
import { makePki } from '../integration/certificates.ts'
import { openTunnel } from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { startHub } from '../integration/hub.ts'
import { headers, type RawHttp2, serveRawHttp2 } from '../integration/raw-http2.ts'
import { echo, listenTarget, type Target } from '../integration/target.ts'
import { type Agent, launchAgent } from '../integration/tunnel.ts'
import type { PacketOf } from '../integration/wire.ts'
import { allExtensions } from '../integration/wire-agent.ts'
import { listenAsServer, taken, type WirePeer } from '../integration/wire-server.ts'
import type { Ground } from './attack.ts'
import { startNeighbour } from './neighbour.ts'

/** How it answers an agent when it means no harm. */
export const honestAnswer: OutgoingHttpHeaders = { ...taken, ...allExtensions }
/** Who it is by its certificate, as the agent's audit log has it. */
export const principal = 'server/hub-0'

/** What it does from now on; an attack puts back what it changes. */
export type Habits = {
  /** To the streams that come. */
  answer: OutgoingHttpHeaders | 'none'
  answersHeartbeats: boolean
  /** Whether somebody else speaks on a connection that comes. */
  takes: (socket: TLSSocket) => boolean
}

export type EvilHub = {
  readonly agent: Agent
  readonly ground: Ground
  /** Echoes. */
  readonly target: Target
  readonly habits: Habits
  /** That have come so far. */
  readonly streams: () => number
  /** The stream that the agent has now, which was answered. */
  readonly onStream: () => Promise<WirePeer>
  /** On the connection that came last. */
  readonly hangUp: () => void
  /** Has the agent leave, in order, and come again. @returns its next stream */
  readonly comesAgain: () => Promise<WirePeer>
  /** The same; its next connection is spoken on by hand, and has been taken. */
  readonly comesToRaw: () => Promise<RawHttp2>
  readonly dials: (address: string, protocol?: string, random?: Int64) => Promise<PacketOf<'DIAL_RSP'>>
  readonly answerTo: (peer: WirePeer, random: Int64) => Promise<PacketOf<'DIAL_RSP'>>
}

export async function startEvilHub(
  t: Test,
  { policy, flags = [] }: { readonly policy: string; readonly flags?: readonly string[] },
): Promise<EvilHub> {
  const pki = await makePki(t)
  const target = await listenTarget(t, echo)
  const honest = await startHub(t, () => 'id: eu-1\n', [], pki)
  const habits: Habits = { answer: honestAnswer, answersHeartbeats: true, takes: () => false }
  let peer: WirePeer | undefined
  let streams = 0
  let numbers = 1_000
  const hub = await listenAsServer(
    t,
    pki,
    (stream, its) => {
      streams++
      if (habits.answer !== 'none') stream.respond(habits.answer)
      its.onPacket((packet) => {
        if (packet.type !== 'HEARTBEAT' || !habits.answersHeartbeats) return
        its.send({ type: 'HEARTBEAT_ACK', seq: packet.seq, serverUnixMs: Date.now() })
      })
      peer = its
    },
    (socket) => habits.takes(socket),
  )
  const [auditLog, policyFile] = [join(pki.folder, 'agent-audit.log'), join(pki.folder, 'policy.yaml')]
  writeFileSync(policyFile, policy)
  const agent = await launchAgent(
    t,
    { pki, agentPort: honest.agentPort },
    {
      flags: [
        `--proxy-server-host=127.0.0.1:${honest.agentPort}`,
        `--proxy-server-host=127.0.0.1:${hub.agentPort}`,
        `--audit-log-file=${auditLog}`,
        `--policy-file=${policyFile}`,
        '--sync-interval-cap=500ms',
        ...flags,
      ],
    },
  )
  await agent.logged('connected', 2)
  const neighbour = await startNeighbour(t, () => openTunnel(honest, target.address))

  async function onStream(): Promise<WirePeer> {
    const found = await eventually(
      'the agent is connected',
      () => (peer?.stream.headersSent && !peer.stream.destroyed ? peer : undefined),
      (it) => it !== undefined,
    )
    return found!
  }

  /** Makes before it breaks, so that the agent has no stream that is lost. */
  async function leaves<T>(come: () => Promise<T>): Promise<T> {
    const before = await onStream()
    before.send({ type: 'GOING_AWAY', reason: 'again', deadlineMs: 0, reconnectAfterMs: 0 })
    const next = await come()
    before.socket.destroy()
    return next
  }

  async function nextConnection(): Promise<TLSSocket> {
    const came = Promise.withResolvers<TLSSocket>()
    habits.takes = (socket) => {
      habits.takes = () => false
      came.resolve(socket)
      return true
    }
    return within(came.promise, 'the agent comes again')
  }

  const answerTo = (it: WirePeer, random: Int64): Promise<PacketOf<'DIAL_RSP'>> =>
    eventually(
      'the dial is answered',
      () => it.received.find((packet) => packet.type === 'DIAL_RSP' && packet.random === random),
      (packet) => packet !== undefined,
    ) as Promise<PacketOf<'DIAL_RSP'>>

  return {
    agent,
    ground: { ...agent, auditLog, neighbour },
    target,
    habits,
    streams: () => streams,
    onStream,
    hangUp: () => void peer?.socket.destroy(),
    comesAgain() {
      const count = streams
      return leaves(async () => {
        await eventually('it connects anew', () => streams > count, Boolean)
        return peer!
      })
    },
    comesToRaw: () =>
      leaves(async () => {
        const connected = agent.log.filter(({ msg }) => msg === 'connected').length
        const raw = serveRawHttp2(await nextConnection(), { polite: false })
        await raw.next(({ type }) => type === 'HEADERS')
        raw.write(
          headers(
            1,
            Object.entries(taken).map(([name, value]) => [name, String(value)] as const),
          ),
        )
        await agent.logged('connected', connected + 1)
        return raw
      }),
    async dials(address, protocol = 'tcp', random = ++numbers) {
      const it = await onStream()
      it.send({ type: 'DIAL_REQ', protocol, address, random })
      return answerTo(it, random)
    },
    answerTo,
  }
}

/** The agent has left this stream. */
export async function ended({ stream }: WirePeer): Promise<string> {
  if (!stream.closed) await within(once(stream, 'close'), 'the agent ends the stream')
  return 'left'
}
