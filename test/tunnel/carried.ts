/** Our end of a tunnel on a given stream, towards a stock peer. */
import type { Http2Stream } from 'node:http2'
import { createBudget } from '../../src/tunnel/budget.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import { carryOverGrpc, type GrpcStream, type GrpcStreamOptions } from '../../src/tunnel/grpc-stream.ts'
import { createPacketCount, type PacketCount } from '../../src/tunnel/packet.ts'
import { createSession } from '../../src/tunnel/session.ts'
import type { Session, SessionEvents } from '../../src/tunnel/session-owner.ts'
import { roomyLimits } from './one-session.ts'

export const MAX_MESSAGE_BYTES = 4 * 2 ** 20

export type Ours = {
  readonly session: Session
  readonly carrier: GrpcStream
  readonly count: PacketCount
  readonly failures: unknown[]
}

/** The stream's errors are its close here; `failures` has what the carrier and the session complain of. */
export function carry(
  stream: Http2Stream,
  role: 'server' | 'agent',
  events: Partial<SessionEvents> = {},
  options: Pick<GrpcStreamOptions, 'mayClose'> = {},
): Ours {
  const count = createPacketCount()
  const failures: unknown[] = []
  const session = createSession(
    {
      role,
      extensions: noExtensions,
      limits: roomyLimits,
      liveness: { intervalMs: 1e9, timeoutMs: 1e9 },
      budget: createBudget(256 * 2 ** 20),
      nowMs: 0,
    },
    {
      broken: (reason) => failures.push(reason),
      violation: (violation) => failures.push(violation),
      ping: () => {},
      roundTrip: () => {},
      ...events,
    },
  )
  const carrier = carryOverGrpc({
    stream,
    session,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    count,
    now: () => 0,
    ...options,
    failed(error) {
      failures.push(error)
      session.lost(carrier, 'failed')
      carrier.end()
    },
  })
  stream.on('error', () => {})
  stream.once('close', () => session.lost(carrier, 'closed'))
  return { session, carrier, count, failures }
}
