/**
 * What the server of a link knows of one of the agent's credentials, a certificate or a token: the one that the connection was made with and, where it takes
 * others, each that comes while the connection lasts. One that is not taken is shown again.
 */
import { type BackoffLimits, backoffMs } from '../platform/backoff.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'

export type KnownCredentialDeps = {
  /** What the log calls it. */
  readonly what: 'certificate' | 'token'
  /** What the files hold now: `text` tells one from another. None: nothing that could be shown. */
  readonly current: () =>
    | { readonly text: string; readonly show: (done: (problem: string | undefined) => void) => void }
    | undefined
  /** Waits before a new one that was not taken is shown again. */
  readonly showAgain: BackoffLimits
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
}

/** Disposing it shows no more. */
export type KnownCredential = Disposable & {
  /** The server takes new ones: it is shown the one that there is now, if that has been renewed meanwhile. */
  readonly begin: (log: Log) => void
  /** There may be a new one. */
  readonly renewed: () => void
}

/** @param shown what the connection is made with */
export function createKnownCredential(
  { what, current, showAgain, clock, random }: KnownCredentialDeps,
  shown: string | undefined,
): KnownCredential {
  let known = shown
  let log: Log | undefined // from when the server takes new ones
  let over = false
  let refusals = 0
  let again: Disposable | undefined

  function show(): void {
    const next = log && current()
    if (!next || next.text === known) return
    known = next.text
    again?.[Symbol.dispose]()
    next.show((problem) => answered(next.text, problem))
  }

  function answered(text: string, problem: string | undefined): void {
    if (problem === undefined) {
      refusals = 0
      log?.debug({}, `the server knows the new ${what}`)
      return
    }
    if (over) return
    refusals++
    log?.warn({ reason: problem, refusals }, `the server does not take the new ${what} for this connection`)
    if (known !== text) return // there is a newer one
    // It may not have read yet what it judges by, such as a CA that is new.
    again = clock.after(backoffMs(refusals, showAgain, random()), () => {
      known = undefined
      show()
    })
  }

  return {
    begin(serverLog) {
      log = serverLog
      show()
    },
    renewed: show,
    [Symbol.dispose]() {
      over = true
      again?.[Symbol.dispose]()
    },
  }
}
