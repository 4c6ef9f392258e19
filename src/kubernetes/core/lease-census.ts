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

export type LeaseCensus<L> = {
  /** All that there are, by a list that was asked for just now. */
  readonly listed: (leases: readonly L[], nowUnixMs: number) => void
  readonly changed: (lease: L, nowUnixMs: number) => void
  readonly removed: (name: string) => void
  /** Those that count, as they were seen last. */
  readonly all: () => L[]
  /** At least 1. */
  readonly count: () => number
  /** When the next one that counts expires: it is time to ask again. Infinity: none counts. */
  readonly nextExpiryUnixMs: () => number
}

export function createLeaseCensus<L extends SeenLease>(): LeaseCensus<L> {
  const live = new Map<string, L>()

  function changed(lease: L, nowUnixMs: number): void {
    const { name } = lease
    if (lease.expiresUnixMs <= nowUnixMs) live.delete(name)
    else if (live.has(name) || live.size < MAX_LEASES) live.set(name, lease)
  }

  return {
    listed(leases, nowUnixMs) {
      live.clear()
      for (const lease of leases) changed(lease, nowUnixMs)
    },
    changed,
    removed: (name) => void live.delete(name),
    all: () => [...live.values()],
    count: () => Math.max(1, live.size),
    nextExpiryUnixMs: () =>
      live.values().reduce((first, { expiresUnixMs }) => Math.min(first, expiresUnixMs), Number.POSITIVE_INFINITY),
  }
}
