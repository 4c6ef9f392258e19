/** What proxy-agent counts of the leases it counts: konnectivity's names, labels and buckets, and ours for the rest. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { CounterMetrics } from '../kubernetes/lease-counter.ts'

export type LeaseMetrics = CounterMetrics & {
  /** From now on it is told whether the count is what the API server says. */
  readonly counting: (isCurrent: () => boolean) => void
}

const PREFIX = 'konnectivity_network_proxy_agent_'
const LATENCY_BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 30]

export function createLeaseMetrics(registry: Registry): LeaseMetrics {
  const registers = [registry]
  const counter = (name: string, help: string): Counter<'http_response_code' | 'reason'> =>
    new Counter({ name: `${PREFIX}${name}`, help, labelNames: ['http_response_code', 'reason'], registers })
  const lists = counter('lease_lists_total', 'Answers of the API server to lists of leases, by status and reason.')
  const watches = counter(
    'lease_watches_total',
    'Answers of the API server to watches of leases, by status and reason.',
  )
  const seconds = new Histogram({
    name: `${PREFIX}lease_list_latency_seconds`,
    help: 'Time until the API server answered to lists of leases.',
    labelNames: ['http_response_code'],
    buckets: LATENCY_BUCKETS,
    registers,
  })
  return {
    listed(ms, status, reason) {
      seconds.observe({ http_response_code: String(status) }, ms / 1000)
      lists.inc({ http_response_code: String(status), reason })
    },
    watched: (_ms, status, reason) => watches.inc({ http_response_code: String(status), reason }),
    counting(isCurrent) {
      new Gauge({
        name: 'culvert_agent_lease_count_current',
        help: '1 while the count of leases is what the API server says, 0 while it is an older one.',
        registers,
        collect() {
          this.set(isCurrent() ? 1 : 0)
        },
      })
    },
  }
}
