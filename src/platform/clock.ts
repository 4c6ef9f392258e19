/** Time as an argument, so that tests can move it. */

export type Clock = {
  /** Monotonic milliseconds since an arbitrary moment. */
  readonly now: () => number
  /** Milliseconds since 1970, for what crosses the wire or is shown to people. */
  readonly unixMs: () => number
  /** Calls `run` once after `ms`, unless disposed first. Does not keep the process alive. */
  readonly after: (ms: number, run: () => void) => Disposable
}

export const systemClock: Clock = {
  now: () => performance.now(),
  unixMs: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  },
}

export const elapsed = (clock: Clock, ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))
