/**
 * Replicas that find each other by leases in a real kube-apiserver, with the rights of config/rbac-proxy-server.yaml, each with a
 * server name of its own behind one front door; and agents that know one address, and are told of the rest.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { figureIn } from '../integration/figures.ts'
import { makeAuthority, TRUST_DOMAIN } from './identities.ts'
import { agentPortOf, NAMESPACE, type Probed, startLeaseHub } from './lease-hub.ts'
import { hostsOf } from './network.ts'
import { DOOR_PORT, routerMetrics, startRouter } from './router.ts'
import { becomes } from './waiting.ts'

const AGENT = 'konnectivity_network_proxy_agent_'
const LISTS = 'konnectivity_network_proxy_server_lease_list_total{http_status_code="200",reason=""}'
const WATCHES = 'culvert_server_lease_watches_total{http_status_code="200",reason=""}'
/** For what takes a second or two. */
const SOON_MS = 20_000
/** Less than is left of a lease, which lasts for 30 s and is renewed each 15 s: whoever forgets its holder by then was told. */
const TOLD_MS = 10_000
const EXPIRED_MS = 60_000
const INDEXES = [0, 1, 2] as const
type Index = (typeof INDEXES)[number]

const nameOf = (index: Index): string => `hub-${index}.${TRUST_DOMAIN}`
const leaseOf = (index: Index): string => `konnectivity-proxy-server-server-${index}`

const hub = await startLeaseHub(t, INDEXES.length)
const authority = await makeAuthority(join(hub.folder, 'pki'))
const agentCertificate = await authority.issue('agent', 'cell-0')
// Each shows its own name and that of the hub: an agent that is led to another replica than it asked for hangs up.
const certificates = await Promise.all(
  INDEXES.map((index) => authority.issue('server', `hub-${index}`, '--dns', nameOf(index), '--dns', TRUST_DOMAIN)),
)
const hosts = join(hub.folder, 'hosts')
await writeFile(hosts, hostsOf([TRUST_DOMAIN])) // the names of replicas are for TLS alone, no agent looks them up
const backendOf = (index: Index): string => `127.0.0.1:${agentPortOf(index)}`
await startRouter(hub.network.hub, hub.folder, [
  { name: 'any', hosts: [TRUST_DOMAIN], backends: INDEXES.map(backendOf) },
  ...INDEXES.map((index) => ({ name: `hub-${index}`, hosts: [nameOf(index)], backends: [backendOf(index)] })),
])

const startServer = (index: Index): Promise<Probed> => {
  const { cert, key } = certificates[index]!
  return hub.startServer('ours', index, [
    ...['--cluster-cert', cert, '--cluster-key', key, '--cluster-ca-cert', authority.ca.cert],
    ...['--enable-lease-controller', `--kubeconfig=${hub.configs.server}`],
    `--replica-server-name=${nameOf(index)}`,
  ])
}
/** Told of no count and of no lease: what it does beyond one stream it does because of the list. */
const startAgent = (name: string): Promise<Probed> => {
  const flags = [
    ...[`--proxy-server-host=${TRUST_DOMAIN}`, `--proxy-server-port=${DOOR_PORT}`, '--ca-cert', authority.ca.cert],
    ...['--agent-cert', agentCertificate.cert, '--agent-key', agentCertificate.key],
    ...['--sync-interval=200ms', '--sync-interval-cap=1s'],
  ]
  return hub.startAgent('ours', name, flags, { hosts })
}

const shows = (program: Probed, series: string, value: number, deadlineMs = SOON_MS): Promise<number> =>
  becomes(
    `${series} of ${program.name} is ${value}`,
    async () => figureIn(await program.until(program.metrics()), series),
    (found) => found === value,
    deadlineMs,
  )
const knows = (server: Probed, count: number, deadlineMs?: number): Promise<number> =>
  shows(server, 'culvert_server_known_replicas', count, deadlineMs)
const holds = (count: number): Promise<unknown> =>
  Promise.all(agents.map((agent) => shows(agent, `${AGENT}open_server_connections`, count)))
const wants = (count: number): Promise<unknown> =>
  Promise.all(agents.map((agent) => shows(agent, `${AGENT}known_server_count`, count)))

type Listed = { readonly clusters: readonly { readonly agents: readonly { readonly agentId: string }[] }[] }
/** Whose streams a server has. */
async function streamsAt(index: Index): Promise<string> {
  const { clusters } = JSON.parse(await hub.admin(index, '/v1/clusters')) as Listed
  const ids = clusters.flatMap((cluster) => cluster.agents.map(({ agentId }) => agentId))
  return ids.sort().join(' ')
}

/** Connections that stand, by the route that their server name has led them. */
async function routes(): Promise<string> {
  const metrics = await routerMetrics(hub.network.hub)
  const open = (route: string): number => figureIn(metrics, `culvert_router_open_connections{route="${route}"}`)
  return ['any', 'hub-0', 'hub-1', 'hub-2'].map((route) => `${route}: ${open(route)}`).join(', ')
}
const routesAre = (wanted: string): Promise<string> =>
  becomes(`connections of the front door are ${wanted}`, routes, (found) => found === wanted, SOON_MS)

const linesWith = (text: string, pattern: RegExp): string[] => text.split('\n').filter((line) => pattern.test(line))

// The agents come while there is one replica: the name of the hub leads them to that one.
let zero = await startServer(0)
await knows(zero, 1)
const agents = await Promise.all(['agent-0', 'agent-1'].map(startAgent))
await holds(1)
let [one, two] = await Promise.all([startServer(1), startServer(2)])

await t.test('replicas that come are found, and agents go to each by its own name', async (t) => {
  for (const server of [zero, one, two]) t.equal(await knows(server, 3), 3)
  await wants(3)
  await holds(3)
  const each = 'agent-0 agent-1'
  for (const index of INDEXES) {
    await becomes(
      `${nameOf(index)} has one stream of each`,
      () => streamsAt(index),
      (ids) => ids === each,
      SOON_MS,
    )
  }
  await routesAre('any: 2, hub-0: 0, hub-1: 2, hub-2: 2')
})

await t.test('the lease of a replica says by what name it is reached', async (t) => {
  t.strictSame((await hub.leases()).sort(), INDEXES.map(leaseOf))
  for (const index of INDEXES) {
    const path = 'jsonpath={.metadata.annotations.culvert-server-name}'
    t.equal(await hub.kubectl.text('get', 'lease', leaseOf(index), '-n', NAMESPACE, '-o', path), nameOf(index))
  }
})

await t.test('a replica that is told to end is forgotten at once, and found when it is back', async (t) => {
  zero.signal('SIGTERM')
  for (const server of [one, two]) t.equal(await knows(server, 2, TOLD_MS), 2)
  t.notOk((await hub.leases()).includes(leaseOf(0)), 'it has withdrawn its lease')
  t.equal(await zero.ended, 0)
  await wants(2)
  await holds(2)
  await routesAre('any: 0, hub-0: 0, hub-1: 2, hub-2: 2')
  zero = await startServer(0)
  for (const server of [zero, one, two]) t.equal(await knows(server, 3), 3)
  await wants(3)
  await holds(3)
  await routesAre('any: 0, hub-0: 2, hub-1: 2, hub-2: 2')
})

await t.test('a replica that is killed and is soon back takes over the lease it has left', async (t) => {
  one.signal('SIGKILL')
  await holds(2)
  one = await startServer(1)
  t.equal(await shows(one, 'culvert_server_lease_held', 1), 1)
  t.equal(await knows(one, 3), 3)
  await holds(3)
  await routesAre('any: 0, hub-0: 2, hub-1: 2, hub-2: 2')
})

await t.test('a replica that is killed is forgotten once its lease has expired', async (t) => {
  two.signal('SIGKILL')
  for (const server of [zero, one]) t.equal(await knows(server, 2, EXPIRED_MS), 2)
  await wants(2)
  await holds(2)
  await routesAre('any: 0, hub-0: 2, hub-1: 2, hub-2: 0')
})

await t.test('what the documented rights do not cover was never asked for, watching included', async (t) => {
  for (const server of [zero, one]) {
    const metrics = await server.metrics()
    for (const series of [LISTS, WATCHES]) t.ok(figureIn(metrics, series) >= 1, series)
    t.strictSame(linesWith(metrics, /http_status_code="40[13]"/), [])
    t.equal(figureIn(metrics, 'culvert_server_lease_renewals_total{outcome="failed"}'), 0)
    t.equal(figureIn(metrics, 'culvert_server_replicas_broken'), 0)
  }
  // Those that have ended, too, and requests that no metric tells of, such as the removal of a server's own lease.
  for (const { logFile } of [zero, one, two]) t.strictSame(linesWith(await readFile(logFile, 'utf8'), /forbidden/), [])
})
