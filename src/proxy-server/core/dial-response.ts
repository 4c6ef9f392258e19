/** What a client of gRPC mode is told of a dial that failed: `DIAL_RSP.error`. Pure. Source: konnectivity's texts. */
import type { Failure } from './answers.ts'

export type DialFailure = Extract<
  Failure,
  {
    kind: 'no-agent' | 'too-many-dials' | 'cluster-limit' | 'denied' | 'dial-error' | 'dial-timeout' | 'agent-lost'
  }
>

/** Longest text of an agent that is handed on: characters. */
export const MAX_TEXT_CHARS = 4_096

export function dialErrorText(failure: DialFailure): string {
  switch (failure.kind) {
    case 'no-agent':
      return 'No agent available'
    case 'too-many-dials':
      return 'too many dials are pending'
    case 'cluster-limit':
    case 'denied':
      return failure.text
    case 'dial-error':
      return failure.text.slice(0, MAX_TEXT_CHARS)
    case 'dial-timeout':
      return 'timed out waiting for backend dial'
    case 'agent-lost':
      return `the agent was lost during the dial: ${failure.cause}`
  }
}
