/** Whether the path to the peer is a long one, from the round trips of heartbeats. Pure. Source: docs/protocol.md section 10. */

/** From this round trip on a path is long, and may be lossy: milliseconds. */
export const LONG_PATH_MS = 10

/** One measure may have met a busy moment: the shortest of so many is the path's. */
export const ENOUGH_MEASURES = 3

/** The round trips of one path: longer ones than the shortest say how busy it is, not how long. */
export type PathLength = { leastMs: number; measures: number }

export const unknownLength = (): PathLength => ({ leastMs: Number.POSITIVE_INFINITY, measures: 0 })

export function measure(path: PathLength, ms: number): void {
  path.leastMs = Math.min(path.leastMs, ms)
  path.measures++
}

/** Known to be long: one of which too little is known is not. */
export const isLong = ({ leastMs, measures }: PathLength): boolean =>
  measures >= ENOUGH_MEASURES && leastMs >= LONG_PATH_MS
