/**
 * A rolling restart of three replicas that agents know by name, behind a real front door, under load from fifty clusters: no CONNECT
 * fails. Three of the clusters have an agent program of their own, the others share a process.
 */
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Leaf, type Pki, temporaryFolder } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { AGENT, fetchFrom, figureBecomes } from './figures.ts'
import { watchReady } from './ready-servers.ts'
import { frontDoorOf, HUB, makeHubPki, type Replica, replica, replicaList, routesOf, startReplica } from './replicas.ts'
import { isReady, RESTART_MS, stopInOrder } from './rolling.ts'
import { echo, listenTarget } from './target.ts'
import { type Agent, launchAgent, type Server } from './tunnel.ts'

const CLUSTERS = Array.from({ length: 50 }, (_, number) => `c-${number}`)
/** Clusters whose agents are programs of their own. */
const PROGRAMS = 3
/** Between two CONNECTs of one cluster: milliseconds. */
const PAUSE_MS = 700
/** Every tenth tunnel stays open for this long and goes on exchanging: milliseconds. */
const LONG_MS = 2_000
const REPLICAS = [0, 1, 2].map((number) => replica(number))

const pki = await makeHubPki(t)

async function leavesOf(role: 'agent' | 'apiserver'): Promise<ReadonlyMap<string, Leaf>> {
  const made = new Map<string, Leaf>()
  for (const cluster of CLUSTERS) {
    const identity = role === 'agent' ? { role, cluster, name: 'a' } : { role, cluster }
    made.set(cluster, await pki.issue(`${role}-${cluster}`, { identity }))
  }
  return made
}

/** By CONNECT from each cluster's own client, again and again. */
function startLoad(t: Test, servers: () => readonly Server[], leaves: ReadonlyMap<string, Leaf>, address: string) {
  const ready = watchReady(t, servers)
  const failures: string[] = []
  let connects = 0
  let isOver = false

  async function once(cluster: string, apiserver: Leaf): Promise<void> {
    const all = ready()
    const server = all[randomInt(Math.max(1, all.length))]
    if (!server) throw new Error('no server is ready')
    const ofCluster: Pki = { ...server.pki, apiserver }
    const socket = await openTunnel({ ...server, pki: ofCluster }, address)
    connects++
    const endMs = performance.now() + (connects % 10 === 0 ? LONG_MS : 0)
    do {
      await echoOver(socket, `from ${cluster}`)
      if (performance.now() < endMs) await pause(100)
    } while (performance.now() < endMs)
    socket.destroy()
  }

  async function again(cluster: string): Promise<void> {
    while (!isOver) {
      await once(cluster, leaves.get(cluster)!).catch((error: Error) => failures.push(`${cluster}: ${error.message}`))
      await pause(PAUSE_MS * (0.5 + Math.random()))
    }
  }

  const running = CLUSTERS.map(again)
  const stop = async (): Promise<void> => {
    isOver = true
    await Promise.all(running)
  }
  t.teardown(stop)
  return {
    failures,
    stop,
    count: () => connects,
    goesOn(more: number) {
      const before = connects
      const isEnough = (): boolean => failures.length > 0 || connects >= before + more
      return eventually(`${more} more CONNECTs`, isEnough, (enough) => enough, RESTART_MS)
    },
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** All but the first few in one process. */
function startAgents(t: Test, port: number, leaves: ReadonlyMap<string, Leaf>): Promise<Agent[]> {
  const own = ({ certFile, keyFile }: Leaf, id: string): string[] => [
    `--proxy-server-host=${HUB}`,
    `--agent-cert=${certFile}`,
    `--agent-key=${keyFile}`,
    `--agent-id=${id}`,
    '--sync-interval=1s',
  ]
  const rest = CLUSTERS.slice(PROGRAMS).map((cluster) => [
    ...own(leaves.get(cluster)!, cluster),
    `--proxy-server-port=${port}`,
    `--ca-cert=${pki.caFile}`,
    '--health-server-host=127.0.0.1',
    '--health-server-port=0',
    '--admin-server-port=0',
    '--log-level=error',
  ])
  const file = join(temporaryFolder(t), 'agents.json')
  writeFileSync(file, JSON.stringify(rest))
  const here = import.meta.dirname
  const args = ['--import', join(here, 'end-with-parent.ts'), join(here, 'many-agents.ts'), file]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const programs = CLUSTERS.slice(0, PROGRAMS)
  return Promise.all(
    programs.map((cluster) => launchAgent(t, { pki, agentPort: port }, { flags: own(leaves.get(cluster)!, cluster) })),
  )
}

type Listed = { readonly clusters: readonly { readonly agents: readonly unknown[] }[] }

/** One stream of each cluster. */
const hasAll = (server: Server): Promise<unknown> =>
  eventually(
    'each cluster has one stream to the replica',
    async () => {
      const { clusters } = (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as Listed
      return clusters.filter(({ agents }) => agents.length === 1).length
    },
    (count) => count === CLUSTERS.length,
    RESTART_MS,
  )

t.test(
  'three replicas are restarted under load from fifty clusters, and no CONNECT fails',
  { timeout: 0 },
  async (t) => {
    const clusters = join(temporaryFolder(t), 'clusters.yaml')
    writeFileSync(clusters, CLUSTERS.map((id) => `id: ${id}\n`).join('---\n'))
    const list = replicaList(t, REPLICAS)
    const flags = [
      `--replicas-file=${list.file}`,
      '--tenancy=multi',
      `--clusters=${clusters}`,
      '--trust-domain=hub.example',
    ]
    const start = (one: Replica): Promise<Server> => startReplica(t, pki, one, flags)
    const servers = await Promise.all(REPLICAS.map(start))
    const named = (): [Replica, Server][] => REPLICAS.map((one, index) => [one, servers[index]!])
    const door = await frontDoorOf(t, named())
    const [agents, apiservers, target] = [
      await leavesOf('agent'),
      await leavesOf('apiserver'),
      await listenTarget(t, echo),
    ]
    const programs = await startAgents(t, door.port, agents)
    await Promise.all(servers.map(hasAll))
    const load = startLoad(t, () => servers, apiservers, target.address)
    await load.goesOn(100)
    for (const [index, one] of REPLICAS.entries()) {
      await stopInOrder(t, servers[index]!, `the end of ${one.id}`)
      servers[index] = await start(one)
      door.reload({ routes: routesOf(named()) })
      await isReady(servers[index])
      await load.goesOn(100)
    }
    await Promise.all(servers.map(hasAll))
    await load.goesOn(100)
    await load.stop()
    t.strictSame(load.failures, [])
    t.comment(`${load.count()} CONNECTs`)
    for (const program of programs) {
      await figureBecomes(program, `${AGENT}open_server_connections`, REPLICAS.length)
    }
  },
)
