/** What the owner of a session brings to it, and what it hears of it. */
import type { Budget } from './budget.ts'
import type { DialRequest } from './dials.ts'
import type { Extensions } from './extensions.ts'
import type { LivenessTimes } from './liveness.ts'
import type { Health, Int64 } from './packet.ts'
import type { Beat } from './pulse.ts'
import type { StockLimits } from './stock-backlog.ts'
import type { Violation } from './violations.ts'

export type SessionLimits = {
  readonly pendingDials: number
  readonly connections: number
  /** Frames that mean nothing here, per minute; more end the stream. */
  readonly unknownFramesPerMinute: number
  readonly stock: StockLimits
}

export type SessionOptions = {
  readonly role: 'server' | 'agent'
  readonly extensions: Extensions
  readonly limits: SessionLimits
  readonly liveness: LivenessTimes
  /** This stream's own budget; the session removes it when it ends. */
  readonly budget: Budget
  readonly nowMs: number
  /** What the agent says of itself in each heartbeat. */
  readonly health?: () => Health
}

export type SessionEvents = {
  /** The stream cannot go on; its owner ends it and then calls `lost`. */
  readonly broken: (reason: 'heartbeat-timeout' | 'too-many-unknown-frames') => void
  readonly violation: (violation: Violation) => void
  /** A stock peer knows no heartbeat: the owner pings it in its own way, after what was sent before, and says `heard`. */
  readonly ping: (number: number) => void
  readonly roundTrip: (ms: number) => void
  /** Server: what the agent says of itself. */
  readonly beat?: (beat: Beat) => void
  /** Server: the agent wants no new connections while another one has room. */
  readonly draining?: () => void
  /** Agent: dial; answer with `accept` or `refuse`. */
  readonly dial?: (request: DialRequest) => void
  /** Agent: the answer to this dial is no longer wanted. */
  readonly dialCancelled?: (random: Int64) => void
  /** Agent: the server will end this stream; connect elsewhere first. */
  readonly goingAway?: (notice: { reason: string; deadlineMs: number; reconnectAfterMs: number }) => void
  /** Agent: after `drain`, nothing is left and nothing can still come. */
  readonly drained?: () => void
}
