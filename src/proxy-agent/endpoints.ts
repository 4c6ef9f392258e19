/** Opens the connections that a server asks for, inside the cluster, and joins each to its target's socket. */
import { Buffer } from 'node:buffer'
import type { OnReadOpts } from 'node:net'
import type { Audit } from '../audit/record.ts'
import { TunnelError } from '../platform/errors.ts'
import { READ_BYTES } from '../tunnel/carrier.ts'
import type { Ending } from '../tunnel/connection.ts'
import type { DialRequest } from '../tunnel/dials.ts'
import { createEndpoint, type Endpoint, eventsOf, followSocket, mayReadSocket, readSocket } from '../tunnel/endpoint.ts'
import { forcedBy } from '../tunnel/forced.ts'
import type { Int64 } from '../tunnel/packet.ts'
import type { Session } from '../tunnel/session-owner.ts'
import { auditDial, bothHear } from './dial-audit.ts'
import { dial, type Judge, type Network, type WhyRefused } from './dialer.ts'
import type { AgentMetrics } from './metrics.ts'
import type { OpenSockets } from './open-sockets.ts'

export type TargetDialer = {
  readonly dial: (session: Session, request: DialRequest) => void
  readonly cancel: (random: Int64) => void
  /** One that the session has refused by itself. */
  readonly overLimit: (request: DialRequest, text: string) => void
}

export type TargetDialerDeps = {
  readonly metrics: AgentMetrics
  readonly sockets: OpenSockets
  readonly network: Network
  /** Asked when a dial comes, for what judges that one. */
  readonly judgeDial: () => Judge
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly audit?: Audit | undefined
  /** Which the connections of this dialer come through. */
  readonly serverId: string
}

/** One for each session: dials are named by numbers that mean nothing beyond it. */
export function createTargetDialer(
  timeoutMs: number,
  { metrics, sockets, network, judgeDial, now, audit, serverId }: TargetDialerDeps,
): TargetDialer {
  const pending = new Map<Int64, AbortController>()

  function ended(ending: Ending): void {
    metrics.connectionEnded()
    const forced = forcedBy(ending)
    if (forced) metrics.connectionForced(forced)
  }

  async function open(session: Session, request: DialRequest): Promise<void> {
    const { random, protocol, address } = request
    const abort = new AbortController()
    pending.set(random, abort)
    const startMs = now()
    const audited = audit && auditDial(audit, serverId, request, now)
    let endpoint: Endpoint | undefined
    const onread: OnReadOpts = {
      buffer: readBuffer,
      callback: (bytes, buffer) => endpoint !== undefined && readSocket(endpoint, buffer.subarray(0, bytes)),
    }
    try {
      const { socket, address: dialled } = await dial(
        { protocol, address, timeoutMs, signal: abort.signal, onread },
        network,
        judgeDial(),
      )
      const over = audited ? bothHear(audited, () => endpoint?.connection, ended) : ended
      endpoint = createEndpoint({ socket, count: metrics.bytes, held: false, over })
      followSocket(endpoint)
      const connection = abort.signal.aborted ? undefined : session.accept(random, eventsOf(endpoint))
      if (!connection) {
        audited?.failed('the dial is no longer wanted')
        return void socket.destroy()
      }
      sockets.add(socket)
      metrics.connectionOpened(now() - startMs)
      audited?.connected(dialled)
      endpoint.connection = connection
      if (mayReadSocket(endpoint)) socket.resume()
    } catch (error) {
      audited?.failed(error)
      if (abort.signal.aborted) return
      const text = error instanceof Error ? error.message : String(error)
      if (error instanceof TunnelError && error.code === 'dial-refused') metrics.dialRefused(error.cause as WhyRefused)
      metrics.dialFailed(text.endsWith('i/o timeout') ? 'timeout' : 'unknown') // a name may say "timeout", too
      session.refuse(random, text)
    } finally {
      if (pending.get(random) === abort) pending.delete(random) // the number may name a newer dial by now
    }
  }

  return {
    dial: (session, request) => void open(session, request),
    overLimit(request, text) {
      if (audit)
        auditDial(audit, serverId, request, now).failed(new TunnelError('dial-refused', text, { cause: 'limit' }))
    },
    cancel(random) {
      pending.get(random)?.abort()
      pending.delete(random)
    },
  }
}

/** All targets are read into this one: what is read is copied into the tunnel's buffer before the next read. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)
