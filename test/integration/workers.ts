/** A server with workers: its processes, and agents that are connected to all of them. */
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { DEADLINE_MS, eventually } from './deadline.ts'
import { AGENT, fetchFrom, figureBecomes } from './figures.ts'
import type { Program } from './program.ts'
import { type Agent, type AgentOptions, launchAgent, type Server, type ServerOptions, startServer } from './tunnel.ts'

export type WorkersOptions = ServerOptions & { readonly workers?: number; readonly agent?: AgentOptions }
export type Team = { readonly server: Server; readonly agent: Agent }

/** With an agent that every worker has. */
export async function startTeam(t: Test, { workers = 2, agent = {}, ...options }: WorkersOptions = {}): Promise<Team> {
  const server = await startServer(t, { ...options, flags: [`--workers=${workers}`, ...(options.flags ?? [])] })
  const started = await launchAgent(t, server, agent)
  await holdsAll(started, workers)
  await allReady(server, workers)
  return { server, agent: started }
}

export const holdsAll = (agent: Agent, workers: number): Promise<unknown> =>
  figureBecomes(agent, `${AGENT}open_server_connections`, workers)

/** As the server knows it: the fleet has an agent of each of its workers. */
export const allReady = (server: Server, workers: number, agents = 1, deadlineMs = DEADLINE_MS): Promise<unknown> =>
  eventually(
    `each of ${workers} workers has ${agents} agents`,
    async () => (await fleetOf(server)).map(({ worker }) => worker).toSorted(),
    (held) => held.length === workers * agents && new Set(held).size === workers,
    deadlineMs,
  )

export type Held = {
  readonly agentId: string
  readonly worker: number
  readonly serverId: string
  readonly connections: number
}

/** Each agent once for each worker. */
export async function fleetOf({ adminPort }: Server): Promise<Held[]> {
  const { clusters } = (await (await fetchFrom(adminPort, '/v1/clusters')).json()) as { clusters: { agents: Held[] }[] }
  return clusters.flatMap(({ agents }) => agents)
}

/** Process ids of the workers that run, by their parent. Linux only, as the programs' tests are. */
export function workerPids({ pid }: Pick<Program, 'pid'>): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return children.split(' ').flatMap((text) => (text === '' ? [] : [Number(text)]))
}

/** Waits until none of them runs. */
export const allGone = (pids: readonly number[]): Promise<unknown> =>
  eventually(
    `the processes ${pids} have ended`,
    () => pids.filter(isRunning),
    (left) => left.length === 0,
  )

/** For a test that may leave them behind. */
export function endAll(pids: readonly number[]): void {
  for (const pid of pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL')
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
