/** Signals. SIGINT and SIGTERM in two stages: the first asks for an orderly end, the second for the end. */

export type Shutdown = Disposable & {
  /** Aborted by the first signal, with its name as the reason. */
  readonly drain: AbortSignal
  /** Aborted by the second, whichever of the two it is. A third one ends the process as if nobody listened. */
  readonly now: AbortSignal
}
type Signals = {
  on: (signal: 'SIGINT' | 'SIGTERM', listener: (signal: string) => void) => unknown
  off: (signal: 'SIGINT' | 'SIGTERM', listener: (signal: string) => void) => unknown
}

/** Listens from the call on until the second signal, or until it is disposed of. */
export function shutdownSignals(source: Signals = process): Shutdown {
  const [drain, now] = [new AbortController(), new AbortController()]
  const stopListening = (): void => {
    source.off('SIGINT', onSignal)
    source.off('SIGTERM', onSignal)
  }
  const onSignal = (signal: string): void => {
    if (!drain.signal.aborted) return drain.abort(signal)
    stopListening()
    now.abort(signal)
  }
  source.on('SIGINT', onSignal)
  source.on('SIGTERM', onSignal)
  return { drain: drain.signal, now: now.signal, [Symbol.dispose]: stopListening }
}

/**
 * Has the two signals without a meaning of their own do nothing, as in Go's programs. Node would let a debugger in at the
 * first, and end at the second.
 */
export function ignoreUserSignals(): void {
  ignoreSignals(['SIGUSR1', 'SIGUSR2'])
}

export function ignoreSignals(signals: readonly NodeJS.Signals[]): void {
  for (const signal of signals) process.on(signal, () => undefined)
}

/** Calls that at each SIGHUP. While nobody asks for it, the signal ends the program. */
export function onHangup(act: () => void): Disposable {
  process.on('SIGHUP', act)
  return { [Symbol.dispose]: () => void process.off('SIGHUP', act) }
}

/** Resolves when the signal is aborted, or at once if it is. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
