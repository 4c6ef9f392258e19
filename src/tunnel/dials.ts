/**
 * The dials of one stream that have no answer yet, for both of its ends, by the number that the server gave them. Each ends
 * once: answered, refused, cancelled or lost. The answer to a cancelled dial may still come, and must not be taken for that
 * of another one. Pure. Source: docs/protocol.md section 1.
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
  /** Whether an answer under this number may come. */
  readonly has: (random: Int64) => boolean
  readonly add: (random: Int64, dial: PendingDial) => void
  /** Takes the dial out: whoever gets it is the one who ends it. */
  readonly take: (random: Int64) => PendingDial | undefined
  /** Takes it out before its answer, which a stock agent gives in any case. */
  readonly cancel: (random: Int64) => PendingDial | undefined
  /** An answer came that no dial waits for. @returns whether it may be that of a cancelled one */
  readonly answeredLate: (random: Int64) => boolean
  /** Ends all of them. */
  readonly lose: (reason: string) => void
}

/** @param remembered cancelled dials whose numbers are kept */
export function createDials(remembered: number): Dials {
  const pending = new Map<Int64, PendingDial>()
  const cancelled = new Set<Int64>()
  let forgotten = 0 // cancelled dials, of which the numbers are not known any more

  function take(random: Int64): PendingDial | undefined {
    const dial = pending.get(random)
    pending.delete(random)
    return dial
  }

  return {
    size: () => pending.size,
    has: (random) => pending.has(random) || cancelled.has(random),
    add: (random, dial) => void pending.set(random, dial),
    take,
    cancel(random) {
      const dial = take(random)
      if (!dial) return undefined
      cancelled.add(random)
      if (cancelled.size > remembered) {
        for (const oldest of cancelled) if (cancelled.delete(oldest)) break
        forgotten++
      }
      return dial
    },
    answeredLate(random) {
      if (cancelled.delete(random)) return true
      if (forgotten === 0) return false
      forgotten--
      return true
    },
    lose(reason) {
      for (const random of [...pending.keys()]) take(random)?.lost(reason)
    },
  }
}
