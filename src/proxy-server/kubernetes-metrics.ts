/** What proxy-server counts of its leases and of tokens: konnectivity's names, labels and buckets, and ours for the rest. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Answered, CollectorMetrics } from '../kubernetes/lease-collector.ts'
import type { ReviewOutcome } from '../kubernetes/token-reviewer.ts'

export type KubernetesMetrics = CollectorMetrics & {
  /** An answer to a watch of leases. */
  readonly watched: Answered
  readonly renewed: (outcome: 'renewed' | 'failed') => void
  readonly reviewed: (outcome: ReviewOutcome) => void
  /** Of an agent that is connected. */
  readonly reviewedAgain: (outcome: 'known' | 'refused' | 'failed') => void
  /** From now on it is told whether the lease is held. */
  readonly leaseKept: (isHeld: () => boolean) => void
}

const PREFIX = 'konnectivity_network_proxy_server_'
/** The default ones of Prometheus' client for Go. */
const LATENCY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export function createKubernetesMetrics(registry: Registry): KubernetesMetrics {
  const registers = [registry]
  const answers = (request: string, what: string): Answered => {
    const seconds = new Histogram({
      name: `${PREFIX}lease_${request}_latency_seconds`,
      help: `Time until the API server answered to ${what}.`,
      labelNames: ['http_status_code'],
      buckets: LATENCY_BUCKETS,
      registers,
    })
    const total = new Counter({
      name: `${PREFIX}lease_${request}_total`,
      help: `Answers of the API server to ${what}, by status and Kubernetes' reason.`,
      labelNames: ['http_status_code', 'reason'],
      registers,
    })
    return (ms, status, reason) => {
      seconds.observe({ http_status_code: String(status) }, ms / 1000)
      total.inc({ http_status_code: String(status), reason })
    }
  }
  const culled = new Counter({ name: `${PREFIX}culled_leases_count`, help: 'Expired leases deleted.', registers })
  const renewals = new Counter({
    name: 'culvert_server_lease_renewals_total',
    help: 'Renewals of the lease of this server, by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  const watches = new Counter({
    name: 'culvert_server_lease_watches_total',
    help: "Answers of the API server to watches of leases, by status and Kubernetes' reason.",
    labelNames: ['http_status_code', 'reason'],
    registers,
  })
  const reviews = new Counter({
    name: 'culvert_server_token_reviews_total',
    help: 'Tokens that agents showed, by what became of them.',
    labelNames: ['outcome'],
    registers,
  })
  const again = new Counter({
    name: 'culvert_server_token_re_reviews_total',
    help: 'Reviews of the tokens of connected agents, by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  return {
    listed: answers('list', 'lists of leases'),
    deleted: answers('delete', 'deletions of expired leases'),
    watched: (_ms, status, reason) => watches.inc({ http_status_code: String(status), reason }),
    culled: () => culled.inc(),
    renewed: (outcome) => renewals.inc({ outcome }),
    reviewed: (outcome) => reviews.inc({ outcome }),
    reviewedAgain: (outcome) => again.inc({ outcome }),
    leaseKept(isHeld) {
      new Gauge({
        name: 'culvert_server_lease_held',
        help: '1 while the lease of this server is valid.',
        registers,
        collect() {
          this.set(isHeld() ? 1 : 0)
        },
      })
    },
  }
}
