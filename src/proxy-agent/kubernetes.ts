/** What proxy-agent asks of a Kubernetes API, where a flag wants it: how many servers hold a lease. */

import { createApiClient } from '../kubernetes/api-client.ts'
import { countLeases } from '../kubernetes/lease-counter.ts'
import { leasesIn } from '../kubernetes/leases.ts'
import { openAccess } from '../kubernetes/open-access.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { LeaseMetrics } from './kubernetes-metrics.ts'
import type { AgentOptions } from './options.ts'

export type LeaseCount = Disposable & { readonly count: () => number }

type Deps = { readonly clock: Clock; readonly log: Log; readonly version: string; readonly metrics: LeaseMetrics }

/**
 * Counts from now on; until the API server has answered, 1.
 *
 * @throws TunnelError `bad-option` when the kubeconfig cannot be used, or when there is none outside of a pod
 */
export async function openLeaseCount(options: AgentOptions, deps: Deps): Promise<LeaseCount | undefined> {
  if (!options.countServerLeases) return undefined
  const { clock, log, metrics } = deps
  const api = createApiClient({
    access: await openAccess(options.kubeconfig),
    rate: { qps: 0, burst: 0 }, // Kubernetes' own: there is no flag
    userAgent: `culvert-proxy-agent/${deps.version}`,
    clock,
  })
  const counter = countLeases({
    leases: leasesIn(options.leaseNamespace, api),
    selector: options.leaseLabelSelector,
    clock,
    random: Math.random,
    log,
    metrics,
  })
  metrics.counting(counter.isCurrent)
  return {
    count: counter.count,
    [Symbol.dispose]() {
      counter[Symbol.dispose]()
      api[Symbol.dispose]()
    },
  }
}
