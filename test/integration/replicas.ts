/** Replicas of one server behind a front door: a name for each, one for all of them, and the list that they tell agents. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makePki, type Pki, temporaryFolder } from './certificates.ts'
import { AGENT, fetchFrom, figureBecomes } from './figures.ts'
import { type FrontDoor, startFrontDoor } from './front-door.ts'
import { ownPort } from './target.ts'
import { type Agent, launchAgent, type Server, startServer } from './tunnel.ts'

/** What agents are told to connect to: it leads to any replica. Every machine resolves it. */
export const HUB = 'localhost'

export type Replica = { readonly id: string; readonly serverName: string; readonly workers?: number }

export const replica = (number: number, workers = 1): Replica => ({
  id: `hub-${number}`,
  serverName: `hub-${number}.hub.example`,
  ...(workers > 1 && { workers }),
})

/** Certificates of a hub: any replica may show that of the server, for each of the names. */
export async function makeHubPki(t: Test): Promise<Pki> {
  const pki = await makePki(t)
  const server = await pki.issue('replica', {
    identity: { role: 'server', id: 'hub' },
    dnsNames: [HUB, '*.hub.example'],
    ipAddresses: ['127.0.0.1'],
  })
  return { ...pki, server }
}

export type ReplicaList = { readonly file: string; readonly write: (replicas: readonly object[]) => void }

/** The file of --replicas-file. */
export function replicaList(t: Test, replicas: readonly object[]): ReplicaList {
  const file = join(temporaryFolder(t), 'replicas.yaml')
  const write = (list: readonly object[]): void => {
    writeFileSync(`${file}.new`, JSON.stringify({ replicas: list }))
    renameSync(`${file}.new`, file)
  }
  write(replicas)
  return { file, write }
}

/** Agents seek it also when it has gone: its port for them is nobody else's. */
export const startReplica = async (t: Test, pki: Pki, { id }: Replica, flags: readonly string[]): Promise<Server> =>
  startServer(t, { pki, flags: [`--server-id=${id}`, `--agent-port=${await ownPort()}`, ...flags] })

/** Leads the name of each replica to it, and that of the hub to any. */
export const frontDoorOf = (
  t: Test,
  replicas: readonly (readonly [Replica, Pick<Server, 'agentPort'>])[],
): Promise<FrontDoor> => startFrontDoor(t, { routes: routesOf(replicas) })

export function routesOf(replicas: readonly (readonly [Replica, Pick<Server, 'agentPort'>])[]): object[] {
  const each = replicas.map(([{ id, serverName }, { agentPort }]) => ({
    name: id,
    hosts: [serverName],
    backends: [`127.0.0.1:${agentPort}`],
  }))
  const backends = replicas.map(([, { agentPort }]) => `127.0.0.1:${agentPort}`)
  return [...each, { name: 'any', hosts: [HUB], backends }]
}

/** So many servers. */
export const holds = (agent: Agent, count: number, deadlineMs?: number): Promise<number> =>
  figureBecomes(agent, `${AGENT}open_server_connections`, count, deadlineMs)

type Listed = { readonly clusters: readonly { readonly agents: readonly { readonly agentId: string }[] }[] }
/** Streams of agents that a replica has. */
export async function streams(server: Server): Promise<number> {
  const { clusters } = (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as Listed
  return clusters.reduce((sum, { agents }) => sum + agents.length, 0)
}

/** Three replicas of one list behind one front door. */
export async function startThree(
  t: Test,
  pki: Pki,
  listed: readonly object[] = [0, 1, 2].map((number) => replica(number)),
) {
  const replicas = [0, 1, 2].map((number) => replica(number))
  const list = replicaList(t, listed)
  const servers = await Promise.all(replicas.map((one) => startReplica(t, pki, one, [`--replicas-file=${list.file}`])))
  const named = replicas.map((one, index): [Replica, Server] => [one, servers[index]!])
  const door = await frontDoorOf(t, named)
  const start = (...flags: string[]): Promise<Agent> =>
    launchAgent(t, { pki, agentPort: door.port }, { flags: [`--proxy-server-host=${HUB}`, ...flags] })
  return { list, servers, named, door, start }
}
