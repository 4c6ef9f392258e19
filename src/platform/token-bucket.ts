/** A rate limit. Pure: time is an argument. */

/** Takes one token, or says that there is none. `nowMs` is monotonic; a refusal changes nothing. */
export type TakeToken = (nowMs: number) => boolean

/** Sums of steps that are no whole numbers miss by less than this. */
const ROUNDING_MS = 1e-6

/** Starts with `count` tokens, the most there are; they come back evenly, all of them within `perMs`. */
export function tokenBucket(count: number, perMs: number): TakeToken {
  const tokenMs = perMs / count
  let fullAtMs = Number.NEGATIVE_INFINITY
  return (nowMs) => {
    const missingMs = Math.max(0, fullAtMs - nowMs)
    if (missingMs > perMs - tokenMs + ROUNDING_MS) return false
    fullAtMs = nowMs + missingMs + tokenMs
    return true
  }
}
