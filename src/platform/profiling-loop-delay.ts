/**
 * How long the event loop was held up. A Node program has no locks to contend for: what waits, waits for the one thread, so
 * this stands where Go has its profile of blocking. A timer says how much too late it comes.
 */
import type { Clock } from './clock.ts'
import type { Frame, Profiled } from './profiling-pprof.ts'

/** Between two looks: milliseconds. */
const LOOK_MS = 10
/** Lateness below this is what timers are like: milliseconds. */
const TOLERATED_MS = 2
const NS_PER_MS = 1_000_000

export type LoopDelay = Disposable & { readonly samples: () => Profiled['samples'] }

/** Looks until it is disposed. */
export function watchLoopDelay(clock: Clock): LoopDelay {
  const held = new Map<number, { count: number; ms: number }>() // by the lower end of a range of milliseconds
  let due = clock.now() + LOOK_MS
  let timer = clock.after(LOOK_MS, look)

  function look(): void {
    const lateMs = clock.now() - due
    if (lateMs >= TOLERATED_MS) {
      const lowest = 2 ** Math.floor(Math.log2(lateMs))
      const { count, ms } = held.get(lowest) ?? { count: 0, ms: 0 }
      held.set(lowest, { count: count + 1, ms: ms + lateMs })
    }
    due = clock.now() + LOOK_MS
    timer = clock.after(LOOK_MS, look)
  }

  return {
    samples: () =>
      [...held].map(([lowest, { count, ms }]) => {
        const range = frame(`held up for ${lowest} ms to ${lowest * 2} ms`)
        return { stack: [range, frame('event loop')], values: [count, Math.round(ms * NS_PER_MS)] }
      }),
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  }
}

const frame = (name: string): Frame => ({ name, file: '', startLine: 0, line: 0 })
