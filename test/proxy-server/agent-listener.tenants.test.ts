/** The agent port of a server of many clusters, where agents show tokens: the user of a token says which cluster. */
import t, { type Test } from 'tap'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { createDirectory } from '../../src/clusters/directory.ts'
import { SHORTEST_REFUSAL_MS } from '../../src/proxy-server/core/refusal-pace.ts'
import { createTenant, JOINS_MS, joinOver, MAX_TOLD, type Tenant } from '../../src/proxy-server/core/tenant.ts'
import type { Tenants } from '../../src/proxy-server/tenants.ts'
import { createBudget } from '../../src/tunnel/budget.ts'
import { cluster } from '../clusters/cluster.ts'
import { event, eventually } from '../integration/deadline.ts'
import { agentPort, ca, joinAgent, leaves } from './agent-port.ts'

const USER = 'system:serviceaccount:eu-1:agent'
const headers = { agentid: 'a', agentidentifiers: '', authorization: 'Bearer hunter2' }
const nothing = { [Symbol.dispose]: () => undefined }

/** Clusters that the test changes. */
function tenantsOf(...clusters: Cluster[]) {
  let directory = createDirectory(clusters)
  const changes: (() => void)[] = []
  const counted: string[] = []
  const known = new Map<string, Tenant>()
  const tenants: Tenants = {
    directory: () => directory,
    get(id) {
      const limits = directory.get(id)?.limits
      if (!limits) return undefined
      const deps = { processBudget: createBudget(1_000_000), after: () => nothing }
      const tenant = known.get(id) ?? createTenant(id, limits, deps)
      known.set(id, tenant)
      return tenant
    },
    refused: (id, limit) => void counted.push(`${id} ${limit}`),
    unmapped: (port) => void counted.push(port),
    onChange: (changed) => void changes.push(changed),
    [Symbol.dispose]: () => undefined,
  }
  const change = (...next: Cluster[]): void => {
    directory = createDirectory(next)
    for (const changed of changes) changed()
  }
  return { tenants, counted, change }
}

async function setup(t: Test, ...clusters: Cluster[]) {
  const { certificatePem: cert, keyPem: key } = leaves.server
  const world = tenantsOf(...clusters)
  const port = await agentPort(t, {
    listener: {
      material: { cert, key },
      authenticate: async () => ({ kind: 'known', username: USER }),
      tenants: world.tenants,
    },
  })
  return { ...world, ...port }
}

t.test('takes an agent into the cluster that lists the user of its token', async (t) => {
  const { port, connected, tenants } = await setup(t, cluster('eu-1', { agents: { users: [USER] } }), cluster('eu-2'))
  const agent = await joinAgent(t, port, headers, 'none')
  t.match(await agent.answer, { ':status': 200 })
  t.match(connected, [{ agentId: 'a', cluster: 'eu-1', record: { principal: USER } }])
  t.equal(tenants.get('eu-1')?.agents, 1)
})

t.test('refuses a user of no cluster, and counts it', async (t) => {
  const { port, connected, counted, metrics } = await setup(t, cluster('eu-1'))
  const agent = await joinAgent(t, port, headers, 'none')
  t.strictSame(await agent.status, ['16', 'the user of its token is of no cluster'])
  t.strictSame(counted, ['agent'])
  t.strictSame(metrics.counted, [['agentRefused', 'unmapped']])
  t.strictSame(connected, [])
})

t.test('cuts an agent off whose user the clusters list no longer, and only then', async (t) => {
  const { port, change, tenants } = await setup(t, cluster('eu-1', { agents: { users: [USER] } }))
  const agent = await joinAgent(t, port, headers, 'none')
  await agent.answer
  const tenant = tenants.get('eu-1')
  change(cluster('eu-1', { agents: { users: ['another', USER] } }), cluster('eu-2'))
  t.equal(tenant?.agents, 1)
  change(cluster('eu-1'))
  t.match(await agent.status, ['16', /the user of its token is of no cluster/])
  t.equal(tenant?.agents, 0)
})

t.test('lets the streams of a cluster hold no more than the cluster', async (t) => {
  const limits = { bufferedBytes: 1_048_576 }
  const { port, connected, tenants } = await setup(t, cluster('eu-1', { agents: { users: [USER] }, limits }))
  await (await joinAgent(t, port, headers, 'none')).answer
  t.equal(connected.length, 1)
  const budgets = [...(tenants.get('eu-1')?.budget.children ?? [])].map(({ limitBytes }) => limitBytes)
  t.ok(budgets.includes(1_048_576), `of the stream, among ${budgets}`)
})

t.test('an agent that comes back beside its old stream is the same one, and a new one is over the limit', async (t) => {
  const listed = cluster('eu-1', { agents: { users: [USER] }, limits: { agents: 1 } })
  const { port, tenants, counted } = await setup(t, listed)
  const [first, again] = [await joinAgent(t, port, headers, 'none'), await joinAgent(t, port, headers, 'none')]
  t.match(await again.answer, { ':status': 200 })
  const tenant = tenants.get('eu-1')!
  t.match(tenant, { agents: 1, agentStreams: 2 })
  t.match(await (await joinAgent(t, port, { ...headers, agentid: 'b' }, 'none')).status, ['8', /limit of 1 agents/])
  t.match(await (await joinAgent(t, port, headers, 'none')).status, ['8', /limit of 1 agents/], 'a third stream of it')
  t.strictSame(counted, ['eu-1 agents', 'eu-1 agents'])
  first.http.destroy()
  await eventually(
    'its old stream is gone',
    () => tenant.agentStreams,
    (streams) => streams === 1,
  )
  t.equal(tenant.agents, 1)
  again.http.destroy()
  await eventually(
    'it is gone',
    () => tenant.agentStreams,
    (streams) => streams === 0,
  )
  t.equal(tenant.agents, 0)
  t.match(await (await joinAgent(t, port, { ...headers, agentid: 'b' }, 'none')).answer, { ':status': 200 })
})

t.test('agents of a cluster that join without end are told so after a second, or hung up on', async (t) => {
  const listed = cluster('eu-1', { agents: { users: [USER] } })
  const { port, tenants, counted, clock, metrics } = await setup(t, listed)
  const tenant = tenants.get('eu-1')!
  while (!joinOver(tenant, clock.now())); // as many as may come at once have come
  const late = await joinAgent(t, port, headers, 'none')
  await eventually(
    'it waits',
    () => tenant.toldAgents,
    (told) => told === 1,
  )
  t.strictSame([counted, metrics.counted], [['eu-1 agent_joins'], []])
  const gone = await joinAgent(t, port, headers, 'none')
  await eventually(
    'another one waits',
    () => tenant.toldAgents,
    (told) => told === 2,
  )
  gone.http.destroy()
  await eventually(
    'it has gone',
    () => tenant.toldAgents,
    (told) => told === 1,
  )
  clock.advance(SHORTEST_REFUSAL_MS)
  t.match(await late.status, ['8', /cluster eu-1 is at its limit of agents that join/])
  t.equal(tenant.toldAgents, 0)
  while (!joinOver(tenant, clock.now()));
  tenant.toldAgents = MAX_TOLD
  const one = await joinAgent(t, port, headers, 'none')
  await event(one.socket, 'close')
  t.equal(tenant.toldAgents, MAX_TOLD)
  clock.advance(JOINS_MS)
  t.match(await (await joinAgent(t, port, headers, 'none')).answer, { ':status': 200 })
})

t.test('refuses a token of one cluster behind a certificate of another', async (t) => {
  const listed = cluster('eu-2', { agents: { users: [USER] } })
  const { certificatePem: cert, keyPem: key } = leaves.server
  const { tenants, counted } = tenantsOf(cluster('eu-1'), listed)
  const { port, connected } = await agentPort(t, {
    listener: { material: { cert, key, ca }, authenticate: async () => ({ kind: 'known', username: USER }), tenants },
  })
  const agent = await joinAgent(t, port, headers)
  t.strictSame(await agent.status, ['16', 'its certificate is of another cluster than the user of its token'])
  t.strictSame([counted, connected], [['agent'], []])
})
