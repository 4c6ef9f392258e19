/** How many frames that mean nothing a peer may send in a minute: each is dropped and counted. Pure; time comes in by `tick`. */

const MINUTE_MS = 60_000

/** A frame that broke the rules. */
export type Violation = 'unknown-type' | 'unknown-connection' | 'unknown-dial' | 'unexpected' | 'duplicate-dial'

export type ViolationsDeps = {
  readonly perMinute: number
  readonly nowMs: number
  readonly counted: (violation: Violation) => void
  /** Once a minute. */
  readonly tooMany: () => void
}

export type Violations = {
  /** @param excused counted, but not against the peer */
  readonly violate: (violation: Violation, excused?: boolean) => void
  readonly tick: (nowMs: number) => void
}

export function createViolations({ perMinute, nowMs: startMs, counted, tooMany }: ViolationsDeps): Violations {
  let minuteEndsMs = startMs + MINUTE_MS
  let thisMinute = 0
  return {
    violate(violation, excused = false) {
      counted(violation)
      if (excused) return
      thisMinute++
      if (thisMinute === perMinute + 1) tooMany()
    },
    tick(nowMs) {
      if (nowMs < minuteEndsMs) return
      minuteEndsMs = nowMs + MINUTE_MS
      thisMinute = 0
    },
  }
}
