/**
 * Places for those who come for a certificate, so many at once. When all are taken the address that holds most of them gives one
 * up, the oldest that is not being answered: who keeps silent keeps nobody out, and least of all somebody from elsewhere.
 */

export type Guest = {
  readonly address: string
  readonly isBeingAnswered: () => boolean
  /** Its place is somebody else's. */
  readonly turnedOut: () => void
}

export type Places = {
  /** undefined: all who are there are being answered. Disposing it gives the place back. */
  readonly take: (guest: Guest) => Disposable | undefined
}

export function createPlaces(most: number): Places {
  const guests = new Set<Guest>() // the oldest first

  function oldestOfTheMost(): Guest | undefined {
    const idle = [...guests].filter(({ isBeingAnswered }) => !isBeingAnswered())
    const counts = Map.groupBy(idle, ({ address }) => address)
    const [first, ...more] = counts.values()
    return more.reduce((most, of) => (of.length > (most?.length ?? 0) ? of : most), first)?.[0]
  }

  return {
    take(guest) {
      if (guests.size >= most) {
        const other = oldestOfTheMost()
        if (!other) return undefined
        guests.delete(other)
        other.turnedOut()
      }
      guests.add(guest)
      return { [Symbol.dispose]: () => void guests.delete(guest) }
    },
  }
}
