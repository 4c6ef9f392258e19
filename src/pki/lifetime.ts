/** Lifetimes of certificates: their limits, and how people write them ("365d", "24h", "1d12h": Go's durations and days). */
import { parseDuration } from '../platform/duration.ts'

export const DAY_MS = 86_400_000
/** A certificate is valid from a little before it was made: the clocks of those who check it differ. */
export const CLOCK_SKEW_MS = 5 * 60_000
export const SHORTEST_LIFETIME_MS = 1_000
/** Keeps every date within the four-digit years that X.509 can write. */
export const LONGEST_LIFETIME_MS = 100 * 365 * DAY_MS
export const AUTHORITY_LIFETIME = '3650d'
/** Until certificates are renewed by themselves. */
export const LEAF_LIFETIME = '365d'
/** Of a revocation list. */
export const LIST_LIFETIME = '30d'
export const LIFETIME_EXPECTED = 'a lifetime from 1s to 36500d, such as 365d or 24h'

const LIFETIME = /^(?:(\d{1,6})d)?(.*)$/s

export const isLifetime = (ms: number): boolean => ms >= SHORTEST_LIFETIME_MS && ms <= LONGEST_LIFETIME_MS

/** Milliseconds; undefined when `text` is no lifetime or out of range. */
export function parseLifetime(text: string): number | undefined {
  const [, days, rest = ''] = LIFETIME.exec(text) ?? []
  const restMs = days !== undefined && rest === '' ? 0 : parseDuration(rest)
  if (restMs === undefined || /^[+-]/.test(rest)) return undefined
  const ms = Number(days ?? 0) * DAY_MS + restMs
  return isLifetime(ms) ? ms : undefined
}
