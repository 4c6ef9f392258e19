/** What is shown of each cluster, and of all by their state. Ids of clusters come from credentials, and are bounded all the same. */
import type { Registry } from 'prom-client'
import { labelledGauge } from '../platform/tallies.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { Clusters } from './core/clusters.ts'
import type { ClusterState } from './core/fleet-feed.ts'
import type { Fleet } from './fleet-events.ts'

/** Clusters with series of their own; those of all others are added up under this name, which no id can be. */
export const MAX_LABELS = 1_000
const OTHERS = '_others'

/** Of the process that serves. */
export function createClusterMetrics(registry: Registry, clusters: Clusters<AgentStream>): void {
  const byCluster = (read: (agents: readonly AgentStream[]) => number) => (): Record<string, number> => {
    const figures: Record<string, number> = {}
    for (const [index, name] of clusters.names().toSorted().entries()) {
      const label = index < MAX_LABELS ? name : OTHERS
      figures[label] = (figures[label] ?? 0) + read(clusters.of(name))
    }
    return figures
  }
  labelledGauge(
    registry,
    'culvert_server_cluster_agents',
    'Agents that are connected, by cluster.',
    'cluster',
    byCluster((agents) => agents.length),
  )
  labelledGauge(
    registry,
    'culvert_server_cluster_connections',
    'Tunnelled connections that are open, by cluster.',
    'cluster',
    byCluster((agents) => agents.reduce((sum, { session }) => sum + session.connectionCount(), 0)),
  )
}

type Metrics = Pick<Registry, 'metrics' | 'contentType'>

/** For a port that anybody may ask: of a server of many clusters nothing that names one. Figures of them all stay. */
export function withoutClusters(all: Metrics, { tenancy }: { readonly tenancy: string }): Metrics {
  if (tenancy === 'single') return all
  return { contentType: all.contentType, metrics: async () => (await all.metrics()).replace(OF_A_CLUSTER, '') }
}

const OF_A_CLUSTER = /^\w+\{(?:[^\n]*,)?cluster="[^\n]*\n/gm

const STATES: readonly ClusterState[] = ['established', 'degraded', 'draining', 'lost']

/** Of the process that has the admin port. */
export function createFleetMetrics(registry: Registry, fleet: Pick<Fleet, 'standings'>): void {
  labelledGauge(registry, 'culvert_server_clusters', 'Clusters, by state.', 'state', () => {
    const counts = Object.fromEntries(STATES.map((state) => [state, 0]))
    for (const { state } of fleet.standings().values()) counts[state] = (counts[state] ?? 0) + 1
    return counts
  })
}
