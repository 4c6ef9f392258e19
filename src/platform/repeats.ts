/** What to tell of an event that repeats itself: the first, each change, and once in a while how many came meanwhile. */
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'

export type Repeats = {
  /**
   * @param key who it happens to
   * @param what what happens; another one than the last time is told at once
   * @returns how many were not told since the last that was; undefined: do not tell this one
   */
  readonly tell: (key: string, what: string, nowMs: number) => number | undefined
  /** Nor was this one, though `tell` said how many: it is one more of them, and the next one may be told. */
  readonly withheld: (key: string, untold: number) => void
  /** It is over: the next one is a first again. */
  readonly forget: (key: string) => void
}

type Told = { readonly what: string; ms: number; untold: number }

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
    withheld(key, untold) {
      const told = last.get(key)
      if (!told) return
      told.ms = Number.NEGATIVE_INFINITY
      told.untold = untold + 1
    },
    forget: (key) => void last.delete(key),
  }
}

/** The same line of a log is a warning this often: milliseconds. */
const WARN_EVERY_MS = 60_000

export type Warnings = {
  /**
   * @param key who it happens to
   * @param what changes are told at once; nothing that a stranger words, or each of its words is a line
   */
  readonly warn: (key: string, fields: object, message: string, what?: string) => void
  readonly forget: (key: string) => void
}

/** Warnings that whoever tries again and again causes: those that are not told are in the log at its finest. */
export function createWarnings(log: Log, clock: Clock, maxKeys: number): Warnings {
  const repeats = createRepeats(WARN_EVERY_MS, maxKeys)
  return {
    warn(key, fields, message, what = '') {
      const untold = repeats.tell(key, what, clock.now())
      if (untold === undefined) log.debug(fields, message)
      else log.warn({ ...fields, ...(untold > 0 && { repeated: untold }) }, message)
    },
    forget: repeats.forget,
  }
}
