/** Numbers that look random and are the same on every machine: Park and Miller's generator. */

export type Random = {
  /** From 0 up to, not including, 1. */
  readonly fraction: () => number
  /** A whole number from 0 up to, not including, `count`. */
  readonly below: (count: number) => number
  /** True `percent` times in a hundred. */
  readonly chance: (percent: number) => boolean
  readonly pick: <T>(from: readonly T[]) => T
}

export function createRandom(seed: number): Random {
  let state = (seed % 2147483646) + 1
  const next = (): number => {
    state = (state * 48271) % 2147483647
    return state
  }
  for (let count = 0; count < 3; count++) next() // small seeds start alike
  const fraction = (): number => next() / 2147483647
  const below = (count: number): number => Math.floor(fraction() * count)
  return { fraction, below, chance: (percent) => below(100) < percent, pick: (from) => from[below(from.length)]! }
}
