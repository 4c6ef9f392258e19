/** How many lanes a link should have. Pure. Source: docs/protocol.md section 10, docs/adr/0017-lanes-for-long-paths.md. */

/** From this round trip on a path is long, and may be lossy: milliseconds. */
export const LONG_PATH_MS = 10
/** On a short path the stream alone is as fast as lanes beside it. */
export const SHORT_PATH_LANES = 0
/** On a long one, where each connection's share of a lossy path is small. */
export const LONG_PATH_LANES = 4

/** One measure may have met a busy moment: the shortest of so many is the path's. */
const ENOUGH_MEASURES = 3

/** The most that anybody may ask for. */
export const MAX_LANES = 16

/** The round trips of one path: longer ones than the shortest say how busy it is, not how long. */
export type PathLength = { leastMs: number; measures: number }

export const unknownLength = (): PathLength => ({ leastMs: Number.POSITIVE_INFINITY, measures: 0 })

export function measure(path: PathLength, ms: number): void {
  path.leastMs = Math.min(path.leastMs, ms)
  path.measures++
}

export function laneCount(asked: 'auto' | number, { leastMs, measures }: PathLength): number {
  if (asked !== 'auto') return asked
  return measures >= ENOUGH_MEASURES && leastMs >= LONG_PATH_MS ? LONG_PATH_LANES : SHORT_PATH_LANES
}
