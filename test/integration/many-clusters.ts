/** Many clusters on one server: certificates of each, agents most of which share a process, and CONNECTs from each again and again. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Leaf, type Pki, temporaryFolder } from './certificates.ts'
import { echoOver } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { HUB, replica, replicaList } from './replicas.ts'
import { RESTART_MS } from './rolling.ts'
import { type Agent, launchAgent, type Server } from './tunnel.ts'

/** Replicas of them. */
export const THREE = [0, 1, 2].map((number) => replica(number))
/** Clusters whose agents are programs of their own. */
const PROGRAMS = 3
/** Between two CONNECTs of one cluster: milliseconds. */
const PAUSE_MS = 700
/** Every tenth tunnel stays open for this long and goes on exchanging: milliseconds. */
const LONG_MS = 2_000

export type Clusters = {
  readonly ids: readonly string[]
  /** The file of --clusters. */
  readonly file: string
  readonly agents: ReadonlyMap<string, Leaf>
  readonly apiservers: ReadonlyMap<string, Leaf>
}

/** Of replicas that have these clusters. */
export const flagsOf = (t: Test, { file }: Clusters): string[] => [
  `--replicas-file=${replicaList(t, THREE).file}`,
  '--tenancy=multi',
  `--clusters=${file}`,
  '--trust-domain=hub.example',
]

export async function makeClusters(t: Test, pki: Pki, count: number): Promise<Clusters> {
  const ids = Array.from({ length: count }, (_, number) => `c-${number}`)
  const file = join(temporaryFolder(t), 'clusters.yaml')
  writeFileSync(file, ids.map((id) => `id: ${id}\n`).join('---\n'))
  const agents = new Map<string, Leaf>()
  const apiservers = new Map<string, Leaf>()
  for (const cluster of ids) {
    agents.set(cluster, await pki.issue(`agent-${cluster}`, { identity: { role: 'agent', cluster, name: 'a' } }))
    apiservers.set(cluster, await pki.issue(`apiserver-${cluster}`, { identity: { role: 'apiserver', cluster } }))
  }
  return { ids, file, agents, apiservers }
}

/** One of each cluster, all but the first few in one process. @returns those that are programs of their own */
export function startAgents(t: Test, pki: Pki, { ids, agents }: Clusters, port: number): Promise<Agent[]> {
  const own = (cluster: string): string[] => {
    const { certFile, keyFile } = agents.get(cluster)!
    return [
      `--proxy-server-host=${HUB}`,
      `--agent-cert=${certFile}`,
      `--agent-key=${keyFile}`,
      `--agent-id=${cluster}`,
      '--sync-interval=1s',
    ]
  }
  const rest = ids
    .slice(PROGRAMS)
    .map((cluster) => [
      ...own(cluster),
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
  return Promise.all(
    ids.slice(0, PROGRAMS).map((cluster) => launchAgent(t, { pki, agentPort: port }, { flags: own(cluster) })),
  )
}

type Listed = { readonly clusters: readonly { readonly agents: readonly unknown[] }[] }

/** One stream of each cluster. */
export const hasAll = (server: Server, { ids }: Clusters): Promise<unknown> =>
  eventually(
    'each cluster has one stream to the replica',
    async () => {
      const { clusters } = (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as Listed
      return clusters.filter(({ agents }) => agents.length === 1).length
    },
    (count) => count === ids.length,
    RESTART_MS,
  )

/** @param open a tunnel of that cluster's own client to a target that sends everything back */
export function startClusterLoad(
  t: Test,
  { ids, apiservers }: Clusters,
  open: (apiserver: Leaf) => Promise<Socket>,
): {
  readonly failures: readonly string[]
  readonly stop: () => Promise<void>
  readonly count: () => number
  readonly goesOn: (more: number) => Promise<unknown>
} {
  const failures: string[] = []
  let connects = 0
  let isOver = false

  async function once(cluster: string): Promise<void> {
    const socket = await open(apiservers.get(cluster)!)
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
      await once(cluster).catch((error: Error) => failures.push(`${cluster}: ${error.message}`))
      await pause(PAUSE_MS * (0.5 + Math.random()))
    }
  }

  const running = ids.map(again)
  const stop = async (): Promise<void> => {
    isOver = true
    await Promise.all(running)
  }
  t.teardown(stop)
  return {
    failures,
    stop,
    count: () => connects,
    goesOn(more) {
      const before = connects
      const isEnough = (): boolean => failures.length > 0 || connects >= before + more
      return eventually(`${more} more CONNECTs`, isEnough, (enough) => enough, RESTART_MS)
    },
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
