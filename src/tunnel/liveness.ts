/**
 * Whether the other end of a stream is there: when to send a heartbeat, and when silence has lasted too long. Pure; time is
 * an argument. Source: docs/protocol.md section 6.
 */

export type LivenessTimes = {
  /** Between two heartbeats: milliseconds. Infinity where the peer is the one who sends them. */
  readonly intervalMs: number
  /** Silence after which the stream is dead: milliseconds, at least twice the interval. */
  readonly timeoutMs: number
}

export type Liveness = {
  readonly times: LivenessTimes
  /** A byte came since the last look. Set for every chunk, so it costs no clock. */
  heard: boolean
  heardMs: number
  nextBeatMs: number
  /** Heartbeats still to be sent one at each look, whatever the interval. */
  eager: number
}

/** @param eager so many heartbeats come one at each look, for whoever measures the path by them */
export const createLiveness = (times: LivenessTimes, nowMs: number, eager = 0): Liveness => ({
  times,
  heard: false,
  heardMs: nowMs,
  nextBeatMs: nowMs,
  eager,
})

/** What is due now. Called every half second or so: silence is noticed that much late. */
export function look(liveness: Liveness, nowMs: number): 'dead' | 'beat' | 'nothing' {
  if (liveness.heard) {
    liveness.heard = false
    liveness.heardMs = nowMs
  }
  if (nowMs - liveness.heardMs >= liveness.times.timeoutMs) return 'dead'
  if (nowMs < liveness.nextBeatMs) return 'nothing'
  if (liveness.eager > 0) liveness.eager--
  liveness.nextBeatMs = liveness.eager > 0 ? nowMs : nowMs + liveness.times.intervalMs
  return 'beat'
}
