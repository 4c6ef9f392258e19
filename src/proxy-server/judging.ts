/** What the hub's policy of a cluster says of a dial, and how long it took to say so. */
import type { Clock } from '../platform/clock.ts'
import { authorise } from '../policy/core/authorise.ts'
import type { Policy } from '../policy/policy.ts'
import type { DialDeps } from './dialing.ts'
import type { ServerMetrics } from './metrics.ts'

export type JudgingDeps = {
  /** Of a cluster, as it is now; none: everything is allowed. */
  readonly policyOf: (cluster: string) => Policy | undefined
  readonly clock: Pick<Clock, 'now'>
  readonly metrics: Pick<ServerMetrics, 'dialJudged'>
}

const EVERYTHING = { kind: 'allowed' } as const

export function createJudging({ policyOf, clock, metrics }: JudgingDeps): DialDeps['authorise'] {
  return (cluster, principal, address) => {
    const policy = policyOf(cluster)
    if (policy === undefined) return EVERYTHING
    const startMs = clock.now()
    const authorisation = authorise(policy.rules, principal, address)
    metrics.dialJudged(authorisation.kind, clock.now() - startMs)
    return authorisation
  }
}
