/**
 * Rolling restarts of three replicas that agents know by name, behind a real front door, under load: no CONNECT fails, whether clients
 * go by `/readyz` themselves or the front door does.
 */
import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Leaf } from './certificates.ts'
import { openTunnel } from './client.ts'
import { AGENT, figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import { type Clusters, hasAll, makeClusters, startAgents, startClusterLoad } from './many-clusters.ts'
import { watchReady } from './ready-servers.ts'
import { frontDoorOf, HUB, makeHubPki, type Replica, replica, replicaList, routesOf, startReplica } from './replicas.ts'
import { isReady, RESTART_MS, stopInOrder } from './rolling.ts'
import { echo, listenTarget } from './target.ts'
import type { Server } from './tunnel.ts'

const REPLICAS = [0, 1, 2].map((number) => replica(number))

const pki = await makeHubPki(t)

const flagsOf = (t: Test, { file }: Clusters): string[] => [
  `--replicas-file=${replicaList(t, REPLICAS).file}`,
  '--tenancy=multi',
  `--clusters=${file}`,
  '--trust-domain=hub.example',
]

/** By any of those that are ready, without the front door. */
function openAtReady(t: Test, servers: () => readonly Server[], address: string): (apiserver: Leaf) => Promise<Socket> {
  const ready = watchReady(t, servers)
  return async (apiserver) => {
    const all = ready()
    const server = all[randomInt(Math.max(1, all.length))]
    if (!server) throw new Error('no server is ready')
    return openTunnel({ ...server, pki: { ...server.pki, apiserver } }, address)
  }
}

t.test(
  'three replicas are restarted under load from fifty clusters, and no CONNECT fails',
  { timeout: 0 },
  async (t) => {
    const clusters = await makeClusters(t, pki, 50)
    const flags = flagsOf(t, clusters)
    const start = (one: Replica): Promise<Server> => startReplica(t, pki, one, flags)
    const servers = await Promise.all(REPLICAS.map(start))
    const named = (): [Replica, Server][] => REPLICAS.map((one, index) => [one, servers[index]!])
    const door = await frontDoorOf(t, named())
    const target = await listenTarget(t, echo)
    const programs = await startAgents(t, pki, clusters, door.port)
    await Promise.all(servers.map((server) => hasAll(server, clusters)))
    const load = startClusterLoad(
      t,
      clusters,
      openAtReady(t, () => servers, target.address),
    )
    await load.goesOn(100)
    for (const [index, one] of REPLICAS.entries()) {
      await stopInOrder(t, servers[index]!, `the end of ${one.id}`)
      servers[index] = await start(one)
      door.reload({ routes: routesOf(named()) })
      await isReady(servers[index])
      await load.goesOn(100)
    }
    await Promise.all(servers.map((server) => hasAll(server, clusters)))
    await load.goesOn(100)
    await load.stop()
    t.strictSame(load.failures, [])
    t.comment(`${load.count()} CONNECTs`)
    for (const program of programs) {
      await figureBecomes(program, `${AGENT}open_server_connections`, REPLICAS.length)
    }
  },
)

/** Each at an address of its own, so that all can have the same health port, which the front door asks. */
const addressOf = (number: number): string => `127.0.0.${number + 2}`

t.test(
  'three replicas are restarted, clients come through the front door that asks who is ready, and no CONNECT fails',
  { timeout: 0 },
  async (t) => {
    const clusters = await makeClusters(t, pki, 10)
    const flags = flagsOf(t, clusters)
    const start = (number: number, ...ports: string[]): Promise<Server> => {
      const address = addressOf(number)
      const bind = ['server', 'agent', 'health'].map((name) => `--${name}-bind-address=${address}`)
      return startReplica(t, pki, REPLICAS[number]!, [...flags, ...bind, ...ports])
    }
    const first = await start(0)
    const sameHealth = `--health-port=${first.healthPort}`
    const servers = [first, await start(1, sameHealth), await start(2, sameHealth)]
    const at = (name: 'agentPort' | 'frontendPort'): string[] =>
      servers.map((server, number) => `${addressOf(number)}:${server[name]}`)
    const alpn = ['h2', 'culvert-lane/1']
    const readiness = { port: first.healthPort }
    const door = await startFrontDoor(t, {
      routes: [
        ...REPLICAS.map(({ id, serverName }, number) => ({
          ...{ name: id, hosts: [serverName], alpn, backends: [at('agentPort')[number]] },
        })),
        { name: 'agents', hosts: [HUB], alpn, backends: at('agentPort') },
        { name: 'clients', hosts: [HUB], readiness, backends: at('frontendPort') },
      ],
      healthCheck: { interval: '1s' },
    })
    const areUp = (count: number): Promise<unknown> =>
      figureBecomes(door, 'culvert_router_backends{route="clients",state="up"}', count, RESTART_MS)
    const target = await listenTarget(t, echo)
    await startAgents(t, pki, clusters, door.port)
    await Promise.all(servers.map((server) => hasAll(server, clusters)))
    const through = { transport: 'tls', socketPath: '', frontendPort: door.port, servername: HUB } as const
    const load = startClusterLoad(t, clusters, (apiserver) =>
      openTunnel({ ...through, pki: { ...pki, apiserver } }, target.address),
    )
    await load.goesOn(50)
    for (const [number, server] of servers.entries()) {
      await areUp(3)
      const stopped = stopInOrder(t, server, `the end of ${REPLICAS[number]!.id}`)
      await areUp(2)
      await stopped
      t.match(await server.logged('closed the frontend'), { why: 'quiet', open: 0 })
      const same = (['agent', 'health'] as const).map((name) => `--${name}-port=${server[`${name}Port`]}`)
      const frontend = ['--server-listen-any=false', `--server-port=${server.frontendPort}`]
      servers[number] = await start(number, ...same, ...frontend)
      await load.goesOn(50)
    }
    await areUp(3)
    await load.goesOn(50)
    await load.stop()
    t.strictSame(load.failures, [])
    t.comment(`${load.count()} CONNECTs`)
  },
)
