/**
 * How many servers hold a valid lease, from what the API server last said. Pure.
 *
 * A lease counts from when it is seen valid until the API server is heard to say otherwise: that it is gone, or, asked
 * again after its time, that it was not renewed. Time alone takes nobody away, so that an API server which is not to be
 * reached, or a watch that has died unnoticed, changes no count.
 */

/** Most leases kept; what comes on top does not count. */
const MAX_LEASES = 10_000

export type SeenLease = { readonly name: string; readonly expiresUnixMs: number }

export type LeaseCensus = {
  /** All that there are, by a list that was asked for just now. */
  readonly listed: (leases: readonly SeenLease[], nowUnixMs: number) => void
  readonly changed: (lease: SeenLease, nowUnixMs: number) => void
  readonly removed: (name: string) => void
  /** At least 1. */
  readonly count: () => number
  /** When the next one that counts expires: it is time to ask again. Infinity: none counts. */
  readonly nextExpiryUnixMs: () => number
}

export function createLeaseCensus(): LeaseCensus {
  const live = new Map<string, number>() // until when, by name

  function changed({ name, expiresUnixMs }: SeenLease, nowUnixMs: number): void {
    if (expiresUnixMs <= nowUnixMs) live.delete(name)
    else if (live.has(name) || live.size < MAX_LEASES) live.set(name, expiresUnixMs)
  }

  return {
    listed(leases, nowUnixMs) {
      live.clear()
      for (const lease of leases) changed(lease, nowUnixMs)
    },
    changed,
    removed: (name) => void live.delete(name),
    count: () => Math.max(1, live.size),
    nextExpiryUnixMs: () => live.values().reduce((first, next) => Math.min(first, next), Number.POSITIVE_INFINITY),
  }
}
