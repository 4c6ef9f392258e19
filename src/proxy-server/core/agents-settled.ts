/**
 * Whether a server of many clusters has given agents their time to come: until the first one has, or the time is over. From then on
 * agents that are away are no matter of the server (docs/adr/0038). Pure but for the clock that it is given.
 */
import type { Clock } from '../../platform/clock.ts'

/**
 * Longest wait for the first agent: milliseconds. Who lost a server comes back within its back-off (`--sync-interval-cap`, 10 s, of
 * konnectivity's agents too) and the handshake behind it, and has noticed a loss that nobody told within 15 s.
 */
export const AGENTS_SETTLE_MS = 15_000

export type AgentsSettled = {
  /** The time begins anew: nobody could come before, or all who had come were lost by a fault of the server. */
  readonly begin: () => void
  /** An agent has come. */
  readonly arrived: () => void
  /** What is waited for; undefined: nothing any more. */
  readonly problem: () => string | undefined
}

/** Its time begins with the call. */
export function createAgentsSettled(clock: Pick<Clock, 'now'>): AgentsSettled {
  let untilMs = clock.now() + AGENTS_SETTLE_MS

  return {
    begin() {
      untilMs = clock.now() + AGENTS_SETTLE_MS
    },
    arrived() {
      untilMs = Number.NEGATIVE_INFINITY
    },
    problem() {
      const leftMs = untilMs - clock.now()
      return leftMs > 0 ? `waiting for the first agent, for ${Math.ceil(leftMs / 1_000)} s at most` : undefined
    },
  }
}
