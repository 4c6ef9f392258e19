/**
 * Durations as Go writes them ("1h15m30.5s", "100ms", "0") to milliseconds and back.
 * Source: the documented syntax of Go's time.ParseDuration and of Duration.String.
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5 micro sign
  μs: 1e-3, // U+03BC Greek mu
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g
const WHOLE = new RegExp(`^([+-]?)((?:${PART.source})+)$`)

/** Milliseconds, possibly negative or with a fraction; undefined when `text` is no duration. A number needs a unit, but for 0. */
export function parseDuration(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0
  const whole = WHOLE.exec(text)
  if (whole === null) return undefined
  let sum = 0
  for (const [, count, unit] of (whole[2] ?? '').matchAll(PART)) sum += Number(count) * (UNIT_MS[unit ?? ''] ?? 0)
  const ms = Math.round(sum * 1e6) / 1e6 // whole nanoseconds, as in Go; also hides binary fractions
  return whole[1] === '-' ? -ms : ms
}

/** As Go prints it: "0s", "1.5ms", "25s", "1h0m0s". */
export function formatDuration(ms: number): string {
  const size = Math.abs(ms)
  const sign = ms < 0 ? '-' : ''
  if (size === 0) return '0s'
  if (size < 1e-3) return `${sign}${shortest(size * 1e6)}ns`
  if (size < 1) return `${sign}${shortest(size * 1e3)}µs`
  if (size < 1_000) return `${sign}${shortest(size)}ms`
  const hours = Math.floor(size / 3_600_000)
  const minutes = Math.floor((size % 3_600_000) / 60_000)
  const seconds = `${shortest((size % 60_000) / 1_000)}s`
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`
}

function shortest(value: number): string {
  return String(Number(value.toFixed(9)))
}
