/** A clock that moves when told to, and runs what is due. */
import type { Clock } from '../../src/platform/clock.ts'

export type ManualClock = Clock & {
  readonly advance: (ms: number) => void
  /** How many calls are still to come. */
  readonly waiting: () => number
  /** The waits that were asked for so far, over or not: milliseconds. */
  readonly asked: readonly number[]
}

export function manualClock(): ManualClock {
  let now = 0
  const due = new Set<{ at: number; run: () => void }>()
  const asked: number[] = []
  return {
    now: () => now,
    unixMs: () => now,
    after: (ms, run) => {
      asked.push(ms)
      const timer = { at: now + ms, run }
      due.add(timer)
      return { [Symbol.dispose]: () => void due.delete(timer) }
    },
    advance: (ms) => {
      now += ms
      for (const timer of [...due].filter(({ at }) => at <= now)) {
        due.delete(timer)
        timer.run()
      }
    },
    waiting: () => due.size,
    asked,
  }
}
