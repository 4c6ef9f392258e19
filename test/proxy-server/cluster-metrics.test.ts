import { Registry } from 'prom-client'
import t from 'tap'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import { createClusterMetrics, createFleetMetrics, MAX_LABELS } from '../../src/proxy-server/cluster-metrics.ts'
import { createClusters } from '../../src/proxy-server/core/clusters.ts'

const agent = (agentId: string, connections: number): AgentStream =>
  ({
    agentId,
    draining: false,
    hosts: new Set(),
    defaultRoute: false,
    session: { connectionCount: () => connections },
  }) as unknown as AgentStream

t.test('counts agents and connections of each cluster', async (t) => {
  const registry = new Registry()
  const clusters = createClusters<AgentStream>(['default'])
  createClusterMetrics(registry, clusters)
  clusters.add('eu-1', agent('a', 3))
  clusters.add('eu-1', agent('b', 4))
  clusters.add('us-1', agent('c', 1))
  const shown = await registry.metrics()
  for (const line of [
    'culvert_server_cluster_agents{cluster="eu-1"} 2',
    'culvert_server_cluster_connections{cluster="eu-1"} 7',
    'culvert_server_cluster_agents{cluster="us-1"} 1',
  ]) {
    t.ok(shown.includes(`${line}\n`), line)
  }
})

t.test('has no more labels than it may, and leaves nothing out', async (t) => {
  const registry = new Registry()
  const clusters = createClusters<AgentStream>(['default'])
  createClusterMetrics(registry, clusters)
  for (let count = 0; count < MAX_LABELS + 20; count++) clusters.add(`c-${count}`, agent(`a-${count}`, 1))
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('culvert_server_cluster_agents{'))
  t.equal(lines.length, MAX_LABELS + 1)
  t.ok(lines.includes('culvert_server_cluster_agents{cluster="_others"} 20'))
})

t.test('counts clusters by their state', async (t) => {
  const registry = new Registry()
  const standing = { sinceUnixMs: 0, reason: '' }
  const standings = new Map([
    ['a', { state: 'lost' as const, ...standing }],
    ['b', { state: 'established' as const, ...standing }],
    ['c', { state: 'lost' as const, ...standing }],
  ])
  createFleetMetrics(registry, { standings: () => standings })
  const shown = await registry.metrics()
  t.match(shown, /culvert_server_clusters\{state="lost"\} 2\n/)
  t.match(shown, /culvert_server_clusters\{state="degraded"\} 0\n/)
})
