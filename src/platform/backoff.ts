/**
 * How long to wait before the next attempt to reach somebody. Pure. Source: docs/protocol.md section 8.
 *
 * The ceiling grows by half with each failure, the wait is drawn from 0.1 to 1 times the ceiling: those who lost the same
 * server together come back spread out.
 */

export type BackoffLimits = {
  /** Ceiling of the wait after the first failure. */
  readonly baseMs: number
  /** Highest ceiling; wins over `baseMs`. */
  readonly capMs: number
}

const FACTOR = 1.5
const SMALLEST_SHARE = 0.1

/**
 * @param failures attempts that failed since the last success, 1 or more
 * @param random from 0 up to, not including, 1
 */
export function backoffMs(failures: number, limits: BackoffLimits, random: number): number {
  return backoffCeilingMs(failures, limits) * (SMALLEST_SHARE + (1 - SMALLEST_SHARE) * random)
}

/** The longest that `backoffMs` may give. */
export function backoffCeilingMs(failures: number, { baseMs, capMs }: BackoffLimits): number {
  return Math.min(capMs, baseMs * FACTOR ** (failures - 1))
}
