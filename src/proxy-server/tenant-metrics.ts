/** What a server of many clusters counts of each. The label `cluster` has the ids of the operator's own file, and no others. */
import { Counter, Gauge, type Registry } from 'prom-client'
import { tallyGauge } from '../platform/tallies.ts'
import type { LimitName, Tenant } from './core/tenant.ts'
import type { Port } from './metrics.ts'

export type TenantMetrics = {
  readonly refused: (cluster: string, limit: LimitName) => void
  readonly unmapped: (port: Port) => void
  /** The cluster is gone, and so are its series. */
  readonly forget: (cluster: string) => void
}

export type TenantState = {
  readonly tenants: () => Iterable<Tenant>
  readonly connections: (cluster: string) => number
  /** The files on disk are not what is in use. */
  readonly broken: () => boolean
}

const LIMITS: readonly LimitName[] = [
  'agents',
  'agent_joins',
  'clients',
  'sessions',
  'connections',
  'pending_dials',
  'dials_per_second',
]

export function createTenantMetrics(registry: Registry, state: TenantState): TenantMetrics {
  const registers = [registry]
  const labelNames = ['cluster', 'limit']
  const refusals = new Counter({
    name: 'culvert_server_cluster_refusals_total',
    help: 'What was refused because the cluster was at a limit, by limit.',
    labelNames,
    registers,
  })
  const unmapped = new Counter({
    name: 'culvert_server_unmapped_peers_total',
    help: 'Peers whose credentials lead to no cluster, by port.',
    labelNames: ['port'],
    registers,
  })
  new Gauge({
    name: 'culvert_server_cluster_usage',
    help: 'What a cluster uses now of what its limits bound.',
    labelNames,
    registers,
    collect() {
      this.reset()
      for (const tenant of state.tenants()) {
        const { id: cluster } = tenant
        this.set({ cluster, limit: 'agents' }, tenant.agents)
        this.set({ cluster, limit: 'clients' }, tenant.clients)
        this.set({ cluster, limit: 'connections' }, state.connections(cluster))
        this.set({ cluster, limit: 'pending_dials' }, tenant.pendingDials)
        this.set({ cluster, limit: 'buffered_bytes' }, tenant.budget.usedBytes)
      }
    },
  })
  new Gauge({
    name: 'culvert_server_cluster_limit',
    help: 'What a cluster may use.',
    labelNames,
    registers,
    collect() {
      this.reset()
      for (const { id: cluster, limits } of state.tenants()) {
        this.set({ cluster, limit: 'agents' }, limits.agents)
        this.set({ cluster, limit: 'clients' }, limits.clients)
        this.set({ cluster, limit: 'connections' }, limits.connections)
        this.set({ cluster, limit: 'pending_dials' }, limits.pendingDials)
        this.set({ cluster, limit: 'buffered_bytes' }, limits.bufferedBytes)
      }
    },
  })
  const brokenHelp = '1 while the clusters of --clusters are broken and the ones before are in use.'
  tallyGauge(registry, 'culvert_server_clusters_broken', brokenHelp, () => (state.broken() ? 1 : 0))
  return {
    refused: (cluster, limit) => refusals.inc({ cluster, limit }),
    unmapped: (port) => unmapped.inc({ port }),
    forget(cluster) {
      for (const limit of LIMITS) refusals.remove({ cluster, limit })
    },
  }
}
