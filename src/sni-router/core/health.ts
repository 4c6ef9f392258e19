/** Whether a backend is one to send clients to. Pure. */

export type HealthRule = {
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Failures in a row until it is down. */
  readonly fall: number
  /** Successes in a row until it is up again. */
  readonly rise: number
}
export type Health = {
  readonly state: 'up' | 'down'
  /** Results in a row that speak against the state. */
  readonly against: number
}

/** Taken for well until it shows otherwise: a client may come before the first check. */
export const unknownHealth: Health = { state: 'up', against: 0 }

export function judged({ state, against }: Health, result: 'ok' | 'failed', { fall, rise }: HealthRule): Health {
  const agrees = (result === 'ok') === (state === 'up')
  if (agrees) return { state, against: 0 }
  const most = state === 'up' ? fall : rise
  if (against + 1 < most) return { state, against: against + 1 }
  return { state: state === 'up' ? 'down' : 'up', against: 0 }
}
