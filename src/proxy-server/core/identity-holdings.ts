/** What the agents of one identity hold together, streams and identifiers, and how much of each they may. Pure. */

export type HoldingLimits = {
  readonly maxStreamsPerIdentity: number
  /** Of all streams of an identity together. */
  readonly maxIdentifiersPerIdentity: number
}

export type Holdings = {
  /** Why there cannot be one more stream of this identity, with so many identifiers; undefined: there can. */
  readonly over: (principal: string, identifiers: number) => string | undefined
  /** There is one. @returns it has gone; to be called once */
  readonly hold: (principal: string, identifiers: number) => () => void
}

type Held = { readonly streams: number; readonly identifiers: number }
const NOTHING: Held = { streams: 0, identifiers: 0 }

export function createHoldings({ maxStreamsPerIdentity, maxIdentifiersPerIdentity }: HoldingLimits): Holdings {
  const held = new Map<string, Held>() // by principal

  function change(principal: string, streams: 1 | -1, identifiers: number): void {
    const before = held.get(principal) ?? NOTHING
    const after = { streams: before.streams + streams, identifiers: before.identifiers + identifiers }
    if (after.streams > 0) held.set(principal, after)
    else held.delete(principal)
  }

  return {
    over(principal, more) {
      const { streams, identifiers } = held.get(principal) ?? NOTHING
      if (streams >= maxStreamsPerIdentity) return `${streams} agents are connected with this identity`
      if (identifiers + more <= maxIdentifiersPerIdentity) return undefined
      return `agents with this identity would have ${identifiers + more} identifiers`
    },
    hold(principal, identifiers) {
      change(principal, 1, identifiers)
      return () => change(principal, -1, -identifiers)
    },
  }
}
