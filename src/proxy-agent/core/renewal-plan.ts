/** When a certificate is renewed: at two thirds of its life, a little later for some so that a fleet does not come at once. Pure. */
import { CLOCK_SKEW_MS } from '../../pki/lifetime.ts'

const DUE_SHARE = 2 / 3
/** Of the life: by how much later some come. */
const JITTER_SHARE = 1 / 20
/** Of the time that is left: the longest wait after a failure. */
const RETRY_SHARE = 1 / 10
const SHORTEST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 600_000

/** What a certificate states; ours begin before they were made. */
export type Life = { readonly fromUnixMs: number; readonly toUnixMs: number }

/** @param random from 0 up to, not including, 1 */
export function renewalUnixMs({ fromUnixMs, toUnixMs }: Life, random: number): number {
  const madeUnixMs = fromUnixMs + CLOCK_SKEW_MS < toUnixMs ? fromUnixMs + CLOCK_SKEW_MS : fromUnixMs
  return madeUnixMs + (toUnixMs - madeUnixMs) * (DUE_SHARE + JITTER_SHARE * random)
}

/**
 * The wait after a failure: half a minute at first and twice as long each time, but several attempts fit in what is left. When
 * nothing is left, no hub can say anything else than no until somebody changes something.
 */
export function retryMs(failures: number, leftMs: number, random: number): number {
  const share = leftMs > 0 ? leftMs * RETRY_SHARE : Number.POSITIVE_INFINITY
  const doubled = leftMs > 0 ? 30_000 * 2 ** Math.min(failures - 1, 10) : LONGEST_RETRY_MS
  const ceiling = Math.min(LONGEST_RETRY_MS, doubled, share)
  return Math.max(SHORTEST_RETRY_MS, ceiling * (0.5 + random / 2))
}
