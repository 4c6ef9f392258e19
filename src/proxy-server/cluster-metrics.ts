/** What is shown of each cluster, and of all by their state. Ids of clusters come from credentials, and are bounded all the same. */
import { Gauge, type Registry } from 'prom-client'
import { labelledGauge } from '../platform/tallies.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { Clusters } from './core/clusters.ts'
import type { ClusterState } from './core/fleet-feed.ts'
import type { Fleet } from './fleet-events.ts'

/** Clusters with series of their own; those of all others are added up under this name, which no id can be. */
export const MAX_LABELS = 1_000
const OTHERS = '_others'

type PolicyState = 'in_force' | 'unanswered' | 'refused' | 'not_taken'

/** Of the process that serves. @param hasPolicy whether the hub has one for that cluster now */
export function createClusterMetrics(
  registry: Registry,
  clusters: Clusters<AgentStream>,
  hasPolicy: (cluster: string) => boolean,
): void {
  const labelled = (): [name: string, label: string][] => {
    const names = clusters.names().toSorted()
    return names.map((name, index) => [name, index < MAX_LABELS ? name : OTHERS])
  }
  const byCluster = (read: (agents: readonly AgentStream[]) => number) => (): Record<string, number> => {
    const figures: Record<string, number> = {}
    for (const [name, label] of labelled()) figures[label] = (figures[label] ?? 0) + read(clusters.of(name))
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
  new Gauge({
    name: 'culvert_server_policy_agents',
    help: 'Agents of clusters that the hub has a policy for, by how they have taken it.',
    labelNames: ['cluster', 'state'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [name, label] of labelled()) {
        if (!hasPolicy(name)) continue
        for (const state of POLICY_STATES) this.inc({ cluster: label, state }, 0) // an alarm can ask for what is 0
        for (const { record } of clusters.of(name)) this.inc({ cluster: label, state: stateOf(record) })
      }
    },
  })
}

const POLICY_STATES: readonly PolicyState[] = ['in_force', 'unanswered', 'refused', 'not_taken']

/** A stock agent takes none: it is asked only for what needs no judgement of its own. */
function stateOf({ policy }: Pick<AgentStream['record'], 'policy'>): PolicyState {
  switch (policy?.state) {
    case 'accepted':
      return 'in_force'
    case 'pushed':
      return 'unanswered'
    case 'refused':
      return 'refused'
    default:
      return 'not_taken'
  }
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
