/** Replicas that find each other through their leases, and agents that are told of them. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { caPem, storedLease } from '../kubernetes/api-stand-in.ts'
import { type LeaseStore, leaseStore } from '../kubernetes/lease-store.ts'
import { temporaryFolder } from './certificates.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, figure, figureBecomes } from './figures.ts'
import { frontDoorOf, HUB, makeHubPki, type Replica, replica, routesOf, startReplica } from './replicas.ts'
import { launchAgent, type Server } from './tunnel.ts'

const pki = await makeHubPki(t)
const leaseOf = ({ id }: Replica): string => `konnectivity-proxy-server-${id}`

function kubeconfig(t: Test, { api }: LeaseStore): string {
  const file = join(temporaryFolder(t), 'kube.config')
  const cluster = {
    server: api.access.server.href,
    'certificate-authority-data': Buffer.from(caPem).toString('base64'),
  }
  const config = {
    'current-context': 'c',
    clusters: [{ name: 'k', cluster }],
    users: [{ name: 'u', user: { token: 'of-the-server' } }],
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  }
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

async function setup(t: Test) {
  const store = await leaseStore(t)
  const file = kubeconfig(t, store)
  const start = (one: Replica, ...flags: string[]): Promise<Server> =>
    startReplica(t, pki, one, [
      '--enable-lease-controller',
      '--kubeconfig-qps=-1',
      `--kubeconfig=${file}`,
      `--replica-server-name=${one.serverName}`,
      ...flags,
    ])
  return { store, start }
}

const knows = (server: Server, count: number): Promise<number> =>
  figureBecomes(server, 'culvert_server_known_replicas', count)
const holds = async (agent: Parameters<typeof figureBecomes>[0], count: number): Promise<void> => {
  await figureBecomes(agent, `${AGENT}known_server_count`, count)
  await figureBecomes(agent, `${AGENT}open_server_connections`, count)
}

t.test('replicas find each other, and an agent follows who goes and who comes back', async (t) => {
  const { store, start } = await setup(t)
  const [zero, one] = [replica(0), replica(1)]
  const servers = [await start(zero), await start(one)] as const
  await Promise.all(servers.map((server) => knows(server, 2)))
  t.strictSame(store.names(), [zero, one].map(leaseOf))
  const door = await frontDoorOf(t, [
    [zero, servers[0]],
    [one, servers[1]],
  ])
  const agent = await launchAgent(t, { pki, agentPort: door.port }, { flags: [`--proxy-server-host=${HUB}`] })
  await holds(agent, 2)
  servers[1].signal('SIGTERM')
  await knows(servers[0], 1)
  t.strictSame(store.names(), [leaseOf(zero)], 'its lease is withdrawn at once')
  await within(servers[1].ended, 'its end')
  await holds(agent, 1)
  const next = await start(one)
  door.reload({
    routes: routesOf([
      [zero, servers[0]],
      [one, next],
    ]),
  })
  await holds(agent, 2)
})

t.test('the workers of a replica are one replica', async (t) => {
  const { store, start } = await setup(t)
  const zero = replica(0)
  const server = await start(zero, '--workers=2')
  await eventually('a lease for each', store.names, ({ length }) => length === 2)
  const door = await frontDoorOf(t, [[zero, server]])
  const agent = await launchAgent(t, { pki, agentPort: door.port }, { flags: [`--proxy-server-host=${HUB}`] })
  await holds(agent, 2)
  await knows(server, 1)
})

t.test('a lease without a name takes nobody off the list, and raises an alarm', async (t) => {
  const { store, start } = await setup(t)
  const server = await start(replica(0))
  await knows(server, 1)
  store.put('stock', storedLease('stock', '', Date.now(), 3_600))
  await figureBecomes(server, 'culvert_server_replicas_broken', 1)
  t.equal(await figure(server, 'culvert_server_known_replicas'), 1)
  await server.logged('agents are not told of replicas by these leases')
  store.remove('stock')
  await figureBecomes(server, 'culvert_server_replicas_broken', 0)
})
