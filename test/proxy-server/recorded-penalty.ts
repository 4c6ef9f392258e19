/** A penalty that makes nobody wait and writes down what it is told, for tests of what is of use. */
import type { Penalty } from '../../src/proxy-server/frontend-penalty.ts'

export type RecordedPenalty = Penalty & {
  /** Who has come, gone in vain, or failed, in that order. */
  readonly told: (readonly ['came' | 'vain', who: string] | readonly ['failed'])[]
  /** Connections that went through the gate. */
  readonly gated: () => number
}

export function recordedPenalty(): RecordedPenalty {
  const told: (readonly ['came' | 'vain', string] | readonly ['failed'])[] = []
  let gated = 0
  return {
    told,
    gated: () => gated,
    gate: (take) => (socket) => {
      gated++
      take(socket)
    },
    came: (_address, { principal }) => void told.push(['came', principal]),
    vain: ({ principal }) => void told.push(['vain', principal]),
    failed: () => void told.push(['failed']),
  }
}
