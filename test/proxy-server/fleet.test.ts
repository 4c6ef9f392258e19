import t from 'tap'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import { createClusters } from '../../src/proxy-server/core/clusters.ts'
import { hostsOf, type Identifiers } from '../../src/proxy-server/core/identifiers.ts'
import { fleetRoute, fleetRoutes } from '../../src/proxy-server/fleet.ts'
import { createFleet } from '../../src/proxy-server/fleet-events.ts'
import { asked } from '../platform/asked.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { oneSession } from '../tunnel/one-session.ts'

const identifiers: Identifiers = { ipv4: [], ipv6: [], host: ['n1'], cidr: ['10.0.0.0/8'], defaultRoute: false }

function stream(agentId: string, more: Partial<AgentStream['record']> = {}): AgentStream {
  const { session, open } = oneSession({ role: 'server' })
  open(1)
  session.dial({ random: 2, protocol: 'tcp', address: 'a:1' }, { connected: () => ({}) as never, failed: () => {} })
  return {
    agentId,
    cluster: 'default',
    identifiers,
    hosts: hostsOf(identifiers),
    defaultRoute: false,
    draining: false,
    refusing: false,
    session,
    laneSockets: () => [],
    judgesAddresses: true,
    pushPolicy: () => {},
    tellReplicas: () => {},
    end: () => {},
    record: {
      agentId,
      principal: 'cluster/eu-1/agent/a1',
      remoteAddress: '10.0.0.1',
      connectedUnixMs: 0,
      extensions: ['heartbeat'],
      heardUnixMs: 61_000,
      heardMs: 5,
      heartbeatSeq: 12,
      roundTripMs: 1.5,
      clockSkewMs: -3,
      health: { agentVersion: '1.2.3', openConnections: 1 },
      policy: { version: '0123456789ab', state: 'accepted' },
      ...more,
    },
  }
}

t.test('lists the agents of each cluster, with what their heartbeats said', async (t) => {
  const clusters = createClusters<AgentStream>(['default'])
  clusters.add('default', stream('a'))
  clusters.add('eu-1', stream('b'))
  const { status, body, headers } = await fleetRoute(clusters)(asked())
  t.equal(status, 200)
  t.strictSame(headers, { 'Content-Type': 'application/json' })
  const list = JSON.parse(String(body))
  t.strictSame(
    list.clusters.map((cluster: { id: string; agents: { agentId: string }[] }) => [
      cluster.id,
      cluster.agents.map(({ agentId }) => agentId),
    ]),
    [
      ['default', ['a']],
      ['eu-1', ['b']],
    ],
  )
  t.strictSame(list.clusters[0].agents[0], {
    agentId: 'a',
    principal: 'cluster/eu-1/agent/a1',
    remoteAddress: '10.0.0.1',
    extensions: ['heartbeat'],
    heartbeatSeq: 12,
    roundTripMs: 1.5,
    clockSkewMs: -3,
    health: { agentVersion: '1.2.3', openConnections: 1 },
    policy: { version: '0123456789ab', state: 'accepted' },
    identifiers: { ipv4: [], ipv6: [], host: ['n1'], cidr: ['10.0.0.0/8'], defaultRoute: false },
    draining: false,
    connectedAt: '1970-01-01T00:00:00.000Z',
    lastHeardAt: '1970-01-01T00:01:01.000Z',
    connections: 1,
    pendingDials: 1,
  })
})

t.test('leaves out what is not known of a stock agent', async (t) => {
  const clusters = createClusters<AgentStream>(['default'])
  clusters.add(
    'default',
    stream('a', { heartbeatSeq: undefined, roundTripMs: undefined, clockSkewMs: undefined, health: undefined }),
  )
  const [agent] = JSON.parse(String((await fleetRoute(clusters)(asked())).body)).clusters[0].agents
  for (const name of ['heartbeatSeq', 'roundTripMs', 'clockSkewMs', 'health']) t.notOk(name in agent, name)
})

t.test('lists nobody when nobody is there', async (t) => {
  const { body } = await fleetRoute(createClusters<AgentStream>(['default']))(asked())
  t.strictSame(JSON.parse(String(body)), { clusters: [] })
})

t.test('lists clusters by their ids, whoever came first or was lost', async (t) => {
  using fleet = createFleet(manualClock())
  fleet.take({ is: 'known', clusters: ['eu-2', 'eu-1', 'us-1', 'ap-1'] })
  const connected = ['us-1', 'eu-1'].map((id) => ({ id, agents: [] }))
  const routes = fleetRoutes(() => ({ clusters: connected }), fleet)
  const answer = async (path: string): Promise<string> => String((await routes[path]?.(asked({ path })))?.body)
  const ids = ({ clusters }: { readonly clusters: readonly { readonly id: string }[] }): string[] =>
    clusters.map(({ id }) => id)
  t.strictSame(ids(JSON.parse(await answer('/v1/clusters'))), ['ap-1', 'eu-1', 'eu-2', 'us-1'])
  const [, snapshot = ''] = /^data: (.*)$/m.exec(await answer('/v1/events')) ?? []
  t.strictSame(ids(JSON.parse(snapshot)), ['ap-1', 'eu-1', 'eu-2', 'us-1'])
})
