/** How many lanes a link should have. Pure. Source: docs/protocol.md section 10, docs/adr/0017-lanes-for-long-paths.md. */
import { isLong, type PathLength } from '../../tunnel/path-length.ts'

/** On a short path the stream alone is as fast as lanes beside it. */
export const SHORT_PATH_LANES = 0
/** On a long one, where each connection's share of a lossy path is small. */
export const LONG_PATH_LANES = 4

/** The most that anybody may ask for. */
export const MAX_LANES = 16

export function laneCount(asked: 'auto' | number, path: PathLength): number {
  if (asked !== 'auto') return asked
  return isLong(path) ? LONG_PATH_LANES : SHORT_PATH_LANES
}
