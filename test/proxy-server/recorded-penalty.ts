/** A penalty that makes nobody wait and writes down what it is told, for tests of what is of use. */
import type { Penalty } from '../../src/proxy-server/frontend-penalty.ts'

type Told =
  | readonly ['of use', cluster: string]
  | readonly ['vain', cluster: string, address: string | undefined]
  | readonly ['broke off', address: string | undefined]

export type RecordedPenalty = Penalty & {
  readonly told: Told[]
  /** Connections that went through the gate. */
  readonly gated: () => number
}

export function recordedPenalty(): RecordedPenalty {
  const told: Told[] = []
  let gated = 0
  return {
    told,
    gated: () => gated,
    gate: (take) => (socket) => {
      gated++
      take(socket)
    },
    ofUse: (cluster) => void told.push(['of use', cluster]),
    vain: (cluster, address) => void told.push(['vain', cluster, address]),
    brokeOff: ({ remoteAddress }) => void told.push(['broke off', remoteAddress]),
  }
}
