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
  createClusterMetrics(registry, clusters, () => false)
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
  createClusterMetrics(registry, clusters, () => false)
  for (let count = 0; count < MAX_LABELS + 20; count++) clusters.add(`c-${count}`, agent(`a-${count}`, 1))
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('culvert_server_cluster_agents{'))
  t.equal(lines.length, MAX_LABELS + 1)
  t.ok(lines.includes('culvert_server_cluster_agents{cluster="_others"} 20'))
})

t.test('counts agents by how they took the policy of their cluster, where there is one', async (t) => {
  const registry = new Registry()
  const clusters = createClusters<AgentStream>(['default'])
  createClusterMetrics(registry, clusters, (cluster) => cluster !== 'us-1')
  const states = ['accepted', 'accepted', 'pushed', 'refused', undefined] as const
  for (const cluster of ['eu-1', 'us-1']) {
    for (const [index, state] of states.entries()) {
      const policy = state && { version: 'v', state }
      clusters.add(cluster, { ...agent(`${cluster}-${index}`, 0), record: { policy } } as AgentStream)
    }
  }
  clusters.add('eu-2', { ...agent('b', 0), record: { policy: { version: 'v', state: 'accepted' } } } as AgentStream)
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('culvert_server_policy_agents{'))
  t.strictSame(lines, [
    'culvert_server_policy_agents{cluster="eu-1",state="in_force"} 2',
    'culvert_server_policy_agents{cluster="eu-1",state="unanswered"} 1',
    'culvert_server_policy_agents{cluster="eu-1",state="refused"} 1',
    'culvert_server_policy_agents{cluster="eu-1",state="not_taken"} 1',
    'culvert_server_policy_agents{cluster="eu-2",state="in_force"} 1',
    'culvert_server_policy_agents{cluster="eu-2",state="unanswered"} 0',
    'culvert_server_policy_agents{cluster="eu-2",state="refused"} 0',
    'culvert_server_policy_agents{cluster="eu-2",state="not_taken"} 0',
  ])
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
