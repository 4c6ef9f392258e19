/**
 * One tunnelled connection: what is known of it, what its owner hears, what it shares with the others of its stream. What it
 * does is in files by direction: `sending.ts`, `receiving.ts`, and `ending.ts` for both. Pure.
 * Source: docs/protocol.md sections 3, 5 and 10.
 */
import { type Budget, spend } from './budget.ts'
import type { Carrier } from './carrier.ts'
import type { EarlyFrames } from './early-frames.ts'
import type { Liveness } from './liveness.ts'
import type { Pacer } from './pacing.ts'
import type { Int64 } from './packet.ts'
import type { Room, Scheduler } from './scheduler.ts'
import { createWindow, type Window } from './window.ts'

export type Ending =
  | { readonly kind: 'finished' } // both directions ended, nothing was lost
  | {
      readonly kind: 'reset'
      readonly by: 'peer' | 'self' | 'tunnel'
      readonly reason: string
      /** The peer's socket broke behind the last byte that came: what the owner's has not taken yet is still to be written. */
      readonly inOrder?: true
    }

/** What the owner of a connection hears. Nothing but `giveUp` is called after `over`. */
export type ConnectionEvents = {
  /** Bytes from the peer. The owner calls `taken` when its socket has them. */
  readonly data: (bytes: Uint8Array) => void
  /** The peer sends no more bytes. */
  readonly end: () => void
  /** `send` gave false before, or it was told to pause; now there is room and credit to read on. */
  readonly resume: () => void
  /** Too many send at once: read no more until `resume`. Without it, an owner is left to read on. */
  readonly pause?: () => void
  /** Exactly once. After `finished`, and a reset in order, bytes that the socket has not taken are still the owner's to write. */
  readonly over: (ending: Ending) => void
  /** Too much waits in all: what the socket of this connection, which is over, has not taken is given up. */
  readonly giveUp: () => void
}

/** A carrier with the ring of those who wait for its room. */
export type Outlet = {
  readonly carrier: Carrier
  /** Shared by all lanes. */
  readonly scheduler: Scheduler<Connection>
  /** Connections whose data goes over it. */
  load: number
  /** Known: the peer has it. Ended: nothing more comes. Spent: gone, but what came over it has not all had its turn. */
  state: 'open' | 'known' | 'ended' | 'spent'
  readonly liveness: Liveness
  /** When a connection last used it, as far as somebody looked. */
  usedMs: number
}

/** What all connections of a session share. */
export type Link = {
  readonly role: 'server' | 'agent'
  readonly flowControl: boolean
  readonly halfClose: boolean
  readonly closeReason: boolean
  /** Of all that waits, in both directions. */
  readonly budget: Budget
  /** Of that, what waits for the peer. */
  heldBytes: number
  /** How much that was when all were last told to pause; less, if it has become less since. */
  pausedAtBytes: number
  /** All who read their sockets stop, and wait for their turns. */
  readonly pauseAll: () => void
  /** The clock as the session last heard it: milliseconds. */
  nowMs: number
  maxWindowBytes: number
  /** How fast bulk may go; none where the peer cannot be pinged. */
  readonly pacer: Pacer | undefined
  /** Whether bulk goes over lanes, where there are any. */
  readonly steers: boolean
  /** The lanes that may be sent on. */
  lanes: readonly Outlet[]
  /** A connection carries so much that it belongs on a lane. */
  readonly carriesMuch: () => void
  /** Takes the connection out of the tables. */
  readonly forget: (connection: Connection) => void
  /** What waits for this connection's socket has changed, also after its end; `took` bytes were taken. */
  readonly backlogChanged: (connection: Connection, took: number) => void
}

export type Connection = {
  readonly id: Int64
  readonly link: Link
  events: ConnectionEvents
  /** Where its dial went, and where its control frames go. */
  readonly home: Outlet
  /** Where its data goes, and where the peer's comes from. */
  out: Outlet
  in: Outlet
  /** Payload since the start, as it came from the owner and as it went there. */
  sentBytes: number
  receivedBytes: number
  sending: 'open' | 'ending' | 'ended' // ending: what is held goes first
  /** Bytes it may send; Infinity without flow control. */
  credit: number
  held: Uint8Array[]
  heldBytes: number
  /** The owner was told to stop reading. */
  paused: boolean
  saidBlocked: boolean
  /** In whose ring it stands. */
  queuedOn: Room | undefined
  /** Bytes it has sent, less what drains with time; and when that was so: milliseconds. */
  burst: number
  burstMs: number
  /** Has sent much of late: it gives way to those that send little. */
  bulk: boolean
  /** It was moved to a lane for that. */
  steered: boolean
  receiving: 'open' | 'ended'
  window: Window
  /** Bytes handed to the owner and not taken yet. */
  backlog: number
  /** Bytes that came since the last look. */
  arrivedBytes: number
  /** When the socket last took bytes, or last had nothing to take. */
  tookMs: number
  /** Made when there is a need. */
  early: EarlyFrames<Outlet> | undefined
  earlyBytes: number
  /** The peer has sent something about this connection, so it knows its id. */
  peerKnows: boolean
  /** What its end still waits for: held bytes of an owner that is gone, or one half of a stock close handshake. */
  closing: 'none' | 'after-sending' | 'waits-for-peer' | 'waits-for-socket'
  /** Why the owner's socket broke, while what was read of it before still waits to go out. */
  broken: string | undefined
  activeMs: number
  over: boolean
}

export function createConnection(id: Int64, link: Link, home: Outlet, events: ConnectionEvents): Connection {
  home.load++
  return {
    id,
    link,
    events,
    home,
    out: home,
    in: home,
    sentBytes: 0,
    receivedBytes: 0,
    sending: 'open',
    credit: link.flowControl ? createWindow().size : Number.POSITIVE_INFINITY,
    held: [],
    heldBytes: 0,
    paused: false,
    saidBlocked: false,
    queuedOn: undefined,
    burst: 0,
    burstMs: link.nowMs,
    bulk: false,
    steered: false,
    receiving: 'open',
    window: createWindow(),
    backlog: 0,
    arrivedBytes: 0,
    tookMs: link.nowMs,
    early: undefined,
    earlyBytes: 0,
    peerKnows: link.role === 'server',
    closing: 'none',
    broken: undefined,
    activeMs: link.nowMs,
    over: false,
  }
}

/** What waits for the peer has changed. */
export function countHeld(connection: Connection, bytes: number): void {
  const { link } = connection
  connection.heldBytes += bytes
  link.heldBytes += bytes
  link.pausedAtBytes = Math.min(link.pausedAtBytes, link.heldBytes)
  spend(link.budget, bytes)
}
