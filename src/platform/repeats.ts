/** What to tell of an event that repeats itself: the first, each change, and once in a while how many came meanwhile. Pure. */

export type Repeats = {
  /**
   * @param key who it happens to
   * @param what what happens; another one than the last time is told at once
   * @returns how many were not told since the last that was; undefined: do not tell this one
   */
  readonly tell: (key: string, what: string, nowMs: number) => number | undefined
  /** It is over: the next one is a first again. */
  readonly forget: (key: string) => void
}

type Told = { readonly what: string; readonly ms: number; untold: number }

/** @param maxKeys those told longest ago are forgotten above this many */
export function createRepeats(everyMs: number, maxKeys: number): Repeats {
  const last = new Map<string, Told>()
  return {
    tell(key, what, nowMs) {
      const told = last.get(key)
      if (told && told.what === what && nowMs - told.ms < everyMs) {
        told.untold++
        return undefined
      }
      last.delete(key)
      last.set(key, { what, ms: nowMs, untold: 0 })
      if (last.size > maxKeys) last.delete(last.keys().next().value!)
      return told?.untold ?? 0
    },
    forget: (key) => void last.delete(key),
  }
}
