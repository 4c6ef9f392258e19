/**
 * In which order the backends of a route are tried. Pure. Those that are up first, those with the fewest connections first
 * among these, and of equals the one that was chosen longest ago. Those that are down come last instead of not at all: when
 * all are, to try is better than to refuse.
 */
import type { Health } from './health.ts'

export type Candidate = {
  readonly health: Health
  /** Connections, and dials under way. */
  readonly active: number
  /** Which choice of all it was chosen by last. */
  readonly chosen: number
}

export function inOrder<C extends Candidate>(candidates: readonly C[]): C[] {
  return [...candidates].sort(
    (a, b) =>
      Number(a.health.state === 'down') - Number(b.health.state === 'down') ||
      a.active - b.active ||
      a.chosen - b.chosen,
  )
}
