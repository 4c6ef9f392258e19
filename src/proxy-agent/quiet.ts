/**
 * When an agent that drains may leave a server: not while that one still asks for connections. A server asks an agent that drains
 * only when it has no other, and then every client would find nobody until the next agent has come.
 */
import type { Clock } from '../platform/clock.ts'

/** Between two looks at whether it is quiet, while something is open: milliseconds. */
const LOOK_MS = 100

/** Disposing it forgets who waits. */
export type Quiet = Disposable & {
  /** The server asks for a connection. */
  readonly asked: () => void
  /** Calls back once, when nothing is open and nobody has asked for the quiet time. */
  readonly when: (then: () => void) => void
}

export function createQuiet(quietMs: number, clock: Clock, isIdle: () => boolean): Quiet {
  let lastMs = Number.NEGATIVE_INFINITY
  let timer: Disposable | undefined

  function when(then: () => void): void {
    const leftMs = lastMs + quietMs - clock.now()
    if (leftMs <= 0 && isIdle()) return then()
    timer = clock.after(Math.max(leftMs, LOOK_MS), () => when(then))
  }

  return {
    asked() {
      lastMs = clock.now()
    },
    when,
    [Symbol.dispose]: () => timer?.[Symbol.dispose](),
  }
}
