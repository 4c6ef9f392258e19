/**
 * How fast bulk may go while small exchanges share the tunnel with it. What delays a small exchange is how busy the queues and
 * event loops on its way are; so that way is measured, by pings, and bulk goes slower until they come back soon. While there
 * are no small exchanges, nothing is measured and bulk goes as fast as it can. Pure; the session brings bytes and the time.
 * Source: docs/protocol.md section 4, ADR 0016.
 */

/** Between two pings: milliseconds. */
const PING_MS = 5
/**
 * Each decision rests on so many pings, and on their median: a late ping is chance, a queue that stands delays most. Beside eight
 * downloads the best of five left p99 at 7 ms; the fourth 2.7 ms, and half as much bulk as the median, which left it at 3 ms.
 */
const PINGS = 5
const MEDIAN = 2
/**
 * What a ping may take beyond the path's own round trip: milliseconds, or this part of the path's round trip if that is more.
 * The end that sends the bulk asks. Beside a server's, pings also wait for what it decrypts for others meanwhile: at half a
 * millisecond uploads kept 0.87 of konnectivity's rate and p99 0.06 of its, at 0.6 ms 0.88 to 1.08 and 0.05 to 0.09, at 0.65 ms 0.92
 * and 0.13, at 0.75 ms 1.26 and 0.22.
 */
const TARGET_MS = { agent: 0.5, server: 0.65 }
const TARGET_OF_PATH = 1 / 4
/** One ping alone tells enough when it is later than so many targets. */
const LATE_TARGETS = 8
/** The path's own round trip is the shortest of the last one to two such spans: a path may become longer. Milliseconds. */
const PATH_SPAN_MS = 60_000
/** Small exchanges and bulk go on at the same time when each was seen within this time: milliseconds. */
const ABOUT_MS = 250
/** What a decision makes of the rate: below the target, above it, and above twice of it. */
const FASTER = 1.1
const SLOWER = 0.85
const MUCH_SLOWER = 0.7
/** A rate of which less than this part is used does not grow: it would tell nothing. */
const USED_PART = 3 / 4
/** Bulk keeps this part of the most that it did of late: if that does not help, others are to blame for the delay. */
const LEAST_PART = 1 / 4
/** And never less than this: bytes per millisecond. Bulk that was just about to begin has done nothing yet. */
const LEAST_RATE = 1024
/** What a quarter of a second without more leaves of the most that it did. */
const MOST_DECAY = 0.98
/** Bytes that wait for their turn leave at most so much of the rate at once: milliseconds. */
const BURST_MS = 2
/** How often bulk that waits is looked at: milliseconds, what timers can do. */
const LOOK_MS = 1

export type Pacer = {
  /** Whether bulk may send now. */
  readonly open: () => boolean
  readonly sentSmall: (nowMs: number) => void
  readonly sentBulk: (bytes: number, nowMs: number) => void
  /** The round trip of the path as heartbeats measure it. */
  readonly roundTrip: (ms: number, nowMs: number) => void
  /** The ping that `look` wanted was answered. */
  readonly answered: (nowMs: number) => void
  /** The time that `alarm` asked for has passed. @returns whether to send a ping now */
  readonly look: (nowMs: number) => boolean
}

/** @param alarm asks for one `look` after that many milliseconds; one at a time */
export function createPacer(role: keyof typeof TARGET_MS, alarm: (ms: number) => void): Pacer {
  let state: 'idle' | 'measuring' | 'pacing' = 'idle' // pacing: a rate is set
  let smallMs = Number.NEGATIVE_INFINITY
  let bulkMs = Number.NEGATIVE_INFINITY
  let pathMs = Number.POSITIVE_INFINITY // the shortest of this span and the one before
  let spanPathMs = Number.POSITIVE_INFINITY // of this span
  let spanMs = Number.NEGATIVE_INFINITY // when it began
  let rate = 0 // bytes per millisecond
  let mostUsed = 0 // likewise
  let tokens = 0 // bytes that may leave; below zero by one read at most
  let tokensMs = 0
  let sent = 0 // bytes since the last decision
  let decidedMs = 0
  let slowedMs = Number.NEGATIVE_INFINITY
  let delays: number[] = [] // of the pings since the last decision
  let pingMs: number | undefined // when the ping under way was sent
  let nextPingMs = 0

  function begin(nowMs: number): void {
    state = 'measuring'
    nextPingMs = nowMs
    startOver(nowMs)
    alarm(0)
  }

  function startOver(nowMs: number): void {
    decidedMs = nowMs
    sent = 0
    delays = []
  }

  function notePath(ms: number, nowMs: number): void {
    if (nowMs - spanMs >= PATH_SPAN_MS) {
      pathMs = spanPathMs
      spanPathMs = Number.POSITIVE_INFINITY
      spanMs = nowMs
    }
    spanPathMs = Math.min(spanPathMs, ms)
    pathMs = Math.min(pathMs, ms)
  }

  /** What bulk does while nothing holds it up. */
  function remember(nowMs: number): void {
    mostUsed = Math.max(mostUsed * MOST_DECAY, sent / (nowMs - decidedMs))
    startOver(nowMs)
  }

  const targetMs = (): number => Math.max(TARGET_MS[role], pathMs * TARGET_OF_PATH)

  const isLate = (waitedMs: number, nowMs: number): boolean =>
    waitedMs - pathMs > LATE_TARGETS * targetMs() && nowMs - slowedMs >= PINGS * PING_MS

  function decide(delayMs: number, nowMs: number): void {
    const used = sent / Math.max(LOOK_MS, nowMs - decidedMs)
    startOver(nowMs)
    mostUsed = Math.max(mostUsed, used)
    const targets = (delayMs - pathMs) / targetMs()
    if (targets <= 1) {
      if (used >= rate * USED_PART) rate *= FASTER
      return
    }
    slowedMs = nowMs
    const before = state === 'pacing' ? rate : used
    rate = Math.max(LEAST_RATE, mostUsed * LEAST_PART, before * (targets > 2 ? MUCH_SLOWER : SLOWER))
    if (state === 'pacing') return
    state = 'pacing'
    tokens = 0
    tokensMs = nowMs
  }

  function refill(nowMs: number): void {
    tokens = Math.min(tokens + rate * (nowMs - tokensMs), rate * BURST_MS)
    tokensMs = nowMs
  }

  return {
    open: () => state !== 'pacing' || tokens > 0,
    sentSmall(nowMs) {
      smallMs = nowMs
      if (state === 'idle' && nowMs - bulkMs < ABOUT_MS) begin(nowMs)
    },
    sentBulk(bytes, nowMs) {
      bulkMs = nowMs
      sent += bytes
      tokens -= bytes
      if (state !== 'idle') return
      if (nowMs - smallMs < ABOUT_MS) begin(nowMs)
      else if (nowMs - decidedMs >= ABOUT_MS) remember(nowMs)
    },
    roundTrip: notePath,
    answered(nowMs) {
      if (pingMs === undefined) return
      const delayMs = nowMs - pingMs
      pingMs = undefined
      notePath(delayMs, nowMs)
      if (state === 'idle') return
      delays.push(delayMs)
      if (delays.length === PINGS) decide(delays.sort((a, b) => a - b)[MEDIAN]!, nowMs)
    },
    look(nowMs) {
      if (nowMs - smallMs >= ABOUT_MS || nowMs - bulkMs >= ABOUT_MS) {
        state = 'idle'
        return false
      }
      if (pingMs !== undefined && isLate(nowMs - pingMs, nowMs)) decide(nowMs - pingMs, nowMs)
      if (state === 'pacing') refill(nowMs)
      alarm(state === 'pacing' ? LOOK_MS : PING_MS)
      if (pingMs !== undefined || nowMs < nextPingMs) return false
      pingMs = nowMs
      nextPingMs = nowMs + PING_MS
      return true
    },
  }
}
