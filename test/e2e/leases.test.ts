/**
 * Servers that announce themselves by leases in a real kube-apiserver, and agents that count them: ours and konnectivity's,
 * behind one balanced address, with the rights of config/rbac-*.yaml.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { figureIn } from '../integration/figures.ts'
import { NAMESPACE, type Probed, startLeaseHub } from './lease-hub.ts'
import { becomes } from './waiting.ts'

const AGENT = 'konnectivity_network_proxy_agent_'
const SERVER = 'konnectivity_network_proxy_server_'
/** For what takes a second or two. */
const SOON_MS = 20_000
/** A lease lasts for 30 s, and is collected 15 s later at most. */
const EXPIRED_MS = 75_000
/** Longer than a lease lasts. */
const OUTAGE_MS = 35_000

const hub = await startLeaseHub(t, 3)
const { pki, kubectl } = hub
const serverFlags = (...more: string[]): string[] => [
  '--cluster-ca-cert',
  pki.tunnel.ca.cert,
  '--enable-lease-controller',
  `--kubeconfig=${hub.configs.server}`,
  ...more,
]
const agentFlags = (...more: string[]): string[] => [
  ...['--agent-cert', pki.tunnel.agent.cert, '--agent-key', pki.tunnel.agent.key],
  '--count-server-leases',
  `--kubeconfig=${hub.configs.agent}`,
  '--sync-interval=200ms',
  '--sync-interval-cap=1s',
  ...more,
]
const leaseOf = (index: number): string => `konnectivity-proxy-server-server-${index}`

const known = (agent: Probed) => async (): Promise<number> =>
  figureIn(await agent.until(agent.metrics()), `${AGENT}known_server_count`)
const held = (agent: Probed) => async (): Promise<number> =>
  figureIn(await agent.until(agent.metrics()), `${AGENT}open_server_connections`)
const is = (wanted: number) => (found: number) => found === wanted

const servers = await Promise.all([0, 1, 2].map((index) => hub.startServer('ours', index, serverFlags())))
const ours = await hub.startAgent('ours', 'agent-ours', agentFlags())
const stock = await hub.startAgent('stock', 'agent-stock', agentFlags())

await t.test('our servers have leases, which our agent and a stock one count until they hold all three', async (t) => {
  await becomes('three leases', hub.leases, (names) => names.length === 3, SOON_MS)
  t.strictSame((await hub.leases()).sort(), [0, 1, 2].map(leaseOf))
  for (const agent of [ours, stock]) {
    t.equal(await becomes(`${agent.name} knows of 3`, known(agent), is(3), SOON_MS), 3)
    t.equal(await becomes(`${agent.name} holds 3`, held(agent), is(3), SOON_MS), 3)
  }
})

await t.test('an agent selects leases by whatever a label selector can say', async (t) => {
  const selector = 'k8s-app in (konnectivity-server, other),k8s-app!=other,!absent'
  const agent = await hub.startAgent('ours', 'agent-selector', agentFlags(`--lease-label-selector=${selector}`))
  t.equal(await becomes('it knows of 3', known(agent), is(3), SOON_MS), 3)
  agent.signal('SIGKILL')
})

for (const maker of ['ours', 'stock'] as const) {
  await t.test(`in a pod, an agent of ${maker} needs no kubeconfig`, async (t) => {
    const flags = agentFlags().filter((flag) => !flag.startsWith('--kubeconfig'))
    const agent = await hub.startAgent(maker, `agent-${maker}-in-pod`, flags, { pod: true })
    t.equal(await becomes('it holds 3', held(agent), is(3), SOON_MS), 3)
    agent.signal('SIGKILL')
  })
}

await t.test('the largest of leases and answers counts where that is wanted', async (t) => {
  const flags = agentFlags('--server-count-source=max', '--lease-label-selector=k8s-app=nobody')
  const agent = await hub.startAgent('ours', 'agent-max', flags)
  t.equal(await becomes('it holds the 1 that a server reports', held(agent), is(1), SOON_MS), 1)
  t.equal(await known(agent)(), 1)
  agent.signal('SIGKILL')
})

await t.test('expired leases of servers are collected, and nothing else is', async (t) => {
  const file = join(hub.folder, 'leases.json')
  const lease = (name: string, label: string, age: number) => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: NAMESPACE, labels: { 'k8s-app': label } },
    spec: {
      holderIdentity: name,
      leaseDurationSeconds: 300,
      renewTime: new Date(Date.now() - age).toISOString().replace('Z', '000Z'),
    },
  })
  const hour = 3_600_000
  const items = [
    lease('dead', 'konnectivity-server', hour),
    lease('alive', 'konnectivity-server', 0),
    lease('foreign', 'other', hour),
  ]
  const timeless = { ...items[0], metadata: { ...items[0]!.metadata, name: 'timeless' }, spec: { holderIdentity: 'x' } }
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...items, timeless] })
  await writeFile(file, text)
  const counting = becomes('our agent counts the living one', known(ours), is(4), SOON_MS)
  await kubectl.text('apply', '-f', file)
  await counting
  const left = await becomes('the dead are gone', hub.leases, (names) => names.length === 4, SOON_MS)
  t.strictSame(left.sort(), ['alive', ...[0, 1, 2].map(leaseOf)])
  await kubectl.text('get', 'lease', 'foreign', '-n', NAMESPACE)
  await kubectl.text('delete', 'lease', 'alive', 'foreign', '-n', NAMESPACE)
  t.equal(await becomes('a deleted one does not count', known(ours), is(3), SOON_MS), 3)

  const metrics = await Promise.all(servers.map((server) => server.metrics()))
  const sum = (series: string): number => metrics.reduce((total, text) => total + figureIn(text, series), 0)
  t.equal(sum(`${SERVER}culled_leases_count`), 2)
  t.ok(sum(`${SERVER}lease_delete_total{http_status_code="200",reason=""}`) >= 2)
  t.ok(sum(`${SERVER}lease_list_total{http_status_code="200",reason=""}`) >= 3)
  t.ok(sum(`${SERVER}lease_list_latency_seconds_count{http_status_code="200"}`) >= 3)
  t.equal(sum('culvert_server_lease_held'), 3)
})

await t.test('a lease that somebody deletes or changes is the server own again', async (t) => {
  await kubectl.text('delete', 'lease', leaseOf(0), '-n', NAMESPACE)
  await kubectl.text('label', 'lease', leaseOf(1), '-n', NAMESPACE, 'k8s-app-', 'somebody=else')
  const names = await becomes('all are there', hub.leases, (found) => found.length === 3, SOON_MS)
  t.strictSame(names.sort(), [0, 1, 2].map(leaseOf))
  const labels = await kubectl.text('get', 'lease', leaseOf(1), '-n', NAMESPACE, '-o', 'jsonpath={.metadata.labels}')
  t.equal(labels, '{"k8s-app":"konnectivity-server"}')
})

await t.test('while the API server is away, longer than leases last, nobody ends and no count changes', async (t) => {
  await becomes('the agent knows of 3', known(ours), is(3), SOON_MS)
  hub.apiServer.signal('SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS)) // what is waited for is that nothing happens
  t.equal(await known(ours)(), 3)
  t.equal(await held(ours)(), 3)
  const away = await becomes(
    'the lease is known to be lost',
    async () => figureIn(await servers[0]!.metrics(), 'culvert_server_lease_held'),
    is(0),
    SOON_MS,
  )
  t.equal(away, 0)
  hub.apiServer.signal('SIGCONT')
  for (const server of servers) {
    await becomes(
      `${server.name} holds its lease again`,
      async () => figureIn(await server.until(server.metrics()), 'culvert_server_lease_held'),
      is(1),
      SOON_MS,
    )
  }
  t.equal(await becomes('the agent knows of 3', known(ours), is(3), SOON_MS), 3)
  t.equal(await held(ours)(), 3)
})

await t.test('a server that is told to end gives its lease up at once', async (t) => {
  const startMs = performance.now()
  servers[2]!.signal('SIGTERM')
  await becomes('two leases', hub.leases, (names) => names.length === 2, SOON_MS)
  t.ok(performance.now() - startMs < 10_000, 'long before it would have expired')
  t.notOk((await hub.leases()).includes(leaseOf(2)))
  t.equal(await servers[2]!.ended, 0)
  for (const agent of [ours, stock]) t.equal(await becomes(`${agent.name} knows of 2`, known(agent), is(2), SOON_MS), 2)
})

await t.test(
  'a server that is killed is not counted once its lease has expired, and its lease is collected',
  async (t) => {
    servers[1]!.signal('SIGKILL')
    for (const agent of [ours, stock]) {
      t.equal(await becomes(`${agent.name} knows of 1`, known(agent), is(1), EXPIRED_MS), 1)
    }
    await becomes('one lease', hub.leases, (names) => names.length === 1, EXPIRED_MS)
    t.strictSame(await hub.leases(), [leaseOf(0)])
  },
)

await t.test('leases of stock servers are like ours, and our agent counts them', async (t) => {
  for (const index of [1, 2]) await hub.startServer('stock', index, serverFlags())
  t.equal(await becomes('our agent knows of 3', known(ours), is(3), SOON_MS), 3)
  t.equal(await becomes('our agent holds 3', held(ours), is(3), SOON_MS), 3)
  const specOf = async (index: number): Promise<string> => {
    const path = '{.metadata.labels} {.spec.leaseDurationSeconds} {.spec.holderIdentity}'
    return (await kubectl.text('get', 'lease', leaseOf(index), '-n', NAMESPACE, '-o', `jsonpath=${path}`)).replace(
      /\d$/,
      '',
    )
  }
  t.equal(await specOf(0), await specOf(1))
})

await t.test('what the documented rights do not cover was never asked for', async (t) => {
  for (const agent of [ours]) {
    const metrics = await agent.metrics()
    t.notMatch(metrics, /lease_(?:lists|watches)_total\{http_response_code="[^2]/)
    t.ok(figureIn(metrics, `${AGENT}lease_watches_total{http_response_code="200",reason=""}`) >= 1)
  }
  t.notMatch(await servers[0]!.metrics(), /lease_(?:list|delete)_total\{http_status_code="403"/)
})
