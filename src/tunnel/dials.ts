/**
 * The dials of one stream that have no answer yet, for both of its ends, by the number that the server gave them. Each ends
 * once: answered, refused, cancelled or lost. Pure. Source: docs/protocol.md section 1.
 */
import type { Connection, ConnectionEvents, Outlet } from './connection.ts'
import type { Int64 } from './packet.ts'

/** A connection that the server wants, as its agent hears of it. */
export type DialRequest = { readonly random: Int64; readonly protocol: string; readonly address: string }

export type DialFailure =
  | { readonly kind: 'refused'; readonly text: string } // the agent's words: they came over the wire
  | { readonly kind: 'lost'; readonly reason: string } // the stream ended first
  | { readonly kind: 'too-many'; readonly limit: number }

/** What the one who dialled hears: one of the two, once, unless it cancels. */
export type DialEvents = {
  readonly connected: (connection: Connection) => ConnectionEvents
  readonly failed: (failure: DialFailure) => void
}

/** `lost` tells the dial's owner that no answer will come: on the server a failure, on the agent a cancellation. */
export type PendingDial = {
  readonly outlet: Outlet
  /** Server only. */
  readonly events?: DialEvents
  readonly lost: (reason: string) => void
}

export type Dials = {
  readonly size: () => number
  readonly has: (random: Int64) => boolean
  readonly add: (random: Int64, dial: PendingDial) => void
  /** Takes the dial out: whoever gets it is the one who ends it. */
  readonly take: (random: Int64) => PendingDial | undefined
  /** Ends those whose frames went over this outlet, or all. */
  readonly lose: (reason: string, outlet?: Outlet) => void
}

export function createDials(): Dials {
  const pending = new Map<Int64, PendingDial>()

  function take(random: Int64): PendingDial | undefined {
    const dial = pending.get(random)
    pending.delete(random)
    return dial
  }

  return {
    size: () => pending.size,
    has: (random) => pending.has(random),
    add: (random, dial) => void pending.set(random, dial),
    take,
    lose(reason, outlet) {
      for (const [random, dial] of [...pending]) {
        if (outlet === undefined || dial.outlet === outlet) take(random)?.lost(reason)
      }
    },
  }
}
