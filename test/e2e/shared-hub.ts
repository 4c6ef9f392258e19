/**
 * One cluster-aware proxy-server for all clusters of a hub, behind the router: `--tenancy=multi`, or several replicas of it.
 * Agents join by tokens and renew by themselves, API servers have certificates of `culvert pki`.
 */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Cell, type Cells, type Identities, makeCells, startAgent } from './cells.ts'
import { type Authority, culvert, makeAuthority, TRUST_DOMAIN } from './identities.ts'
import type { Certificate } from './pki.ts'
import type { Running } from './process.ts'
import { ready } from './ready.ts'
import { becomes } from './waiting.ts'

/** Of a replica: those of the next one are ten higher. */
const PORTS = { server: 8090, agent: 8091, health: 8092, admin: 8095 } as const
const portOf = (of: keyof typeof PORTS, replica: number): number => PORTS[of] + 10 * replica
const READY_MS = 60_000

export type Member = Cell & Identities

/** Files that the server reads, apart from the folder of the CA so that each can be exchanged by itself. */
type ServerFiles = {
  readonly bundle: string
  readonly crl: string
  /** The CA that certificates of agents are issued by. */
  readonly issuing: Certificate
  readonly server: Certificate
}

export type Replica = {
  readonly server: Running
  /** Of its frontend, beside the front door. */
  readonly port: number
  readonly audit: string
  /** With names of clusters. */
  metrics(): Promise<string>
  /** Asks the server until each of the clusters is in that state. */
  clustersAre(state: string, members: readonly Member[], deadlineMs?: number): Promise<unknown>
}

/** The server itself is the first replica, where there are several. */
export type SharedHub = Cells &
  Replica & {
    readonly authority: Authority
    readonly files: ServerFiles
    readonly members: readonly Member[]
    readonly replicas: readonly Replica[]
    /** Flags of `culvert pki issue server` that give a certificate the names of the hub. */
    readonly names: readonly string[]
    /** Makes a token for an agent of this cluster. */
    invite(member: Cell): Promise<void>
    /** Starts one that has been invited, or has joined. */
    startAgent(member: Member): Running
    /** Those that are started at first, by cluster. */
    readonly agents: ReadonlyMap<string, Running>
  }

export type HubPlan = { readonly replicas?: number /** More of each server. */; readonly flags?: readonly string[] }

/** Returns when all clusters are connected, to each replica. */
export async function startSharedHub(
  t: Test,
  ids: readonly string[],
  { replicas: count = 1, flags = [] }: HubPlan = {},
): Promise<SharedHub> {
  const replicaNames = Array.from({ length: count }, (_, index) => `hub-${index}.${TRUST_DOMAIN}`)
  const made = await makeCells(t, ids, replicaNames)
  const { folder, hub, cells } = made
  const file = (name: string): string => join(folder, name)
  const authority = await makeAuthority(file('pki'))
  const serverNames = [TRUST_DOMAIN, ...replicaNames, ...cells.map(({ serverName }) => serverName)]
  const names = serverNames.flatMap((name) => ['--dns', name])
  await culvert('pki', 'crl', '--refresh', '--dir', authority.dir)
  const files: ServerFiles = {
    bundle: file('bundle.crt'),
    crl: join(authority.dir, 'crl.pem'),
    issuing: { cert: file('issuing.crt'), key: file('issuing.key') },
    server: await authority.issue('server', 'hub-0', ...names, '--out', file('hub-0')),
  }
  copyFileSync(authority.ca.cert, files.bundle)
  copyFileSync(authority.ca.cert, files.issuing.cert)
  copyFileSync(authority.ca.key, files.issuing.key)

  const [tokens, clusters] = [file('join-tokens'), file('clusters.yaml')]
  for (const { id, serverName } of cells) {
    await culvert('clusters', 'add', id, '--clusters', clusters, '--server-name', serverName)
  }
  const invite = async ({ id, folder }: Cell): Promise<void> => {
    rmSync(tokenOf(folder), { force: true })
    const from = ['--tokens', tokens, '--clusters', clusters, '--ca', authority.ca.cert]
    await culvert('token', 'create', '--cluster', id, '--name', 'agent', ...from, '--out', tokenOf(folder))
  }
  const members = await Promise.all(
    cells.map(async (cell) => {
      await invite(cell)
      return member(cell, authority, files.bundle)
    }),
  )

  const { bundle, crl, issuing } = files
  const list = file('replicas.json')
  const replicaList = replicaNames.map((serverName, index) => ({ id: `hub-${index}`, serverName }))
  writeFileSync(list, JSON.stringify({ replicas: replicaList }))
  const startReplica = async (index: number): Promise<Replica> => {
    const audit = file(`hub-${index}-audit.log`)
    const server = made.start(
      `proxy-server-${index}`,
      'bin/proxy-server',
      ...['--mode=http-connect', '--tenancy=multi', '--clusters', clusters, '--trust-domain', TRUST_DOMAIN],
      ...['--server-cert', files.server.cert, '--server-key', files.server.key],
      ...['--server-ca-cert', bundle, '--server-crl-file', crl],
      ...['--cluster-cert', files.server.cert, '--cluster-key', files.server.key],
      ...['--cluster-ca-cert', bundle, '--cluster-crl-file', crl],
      ...['--enrolment-ca-cert', issuing.cert, '--enrolment-ca-key', issuing.key, '--join-tokens', tokens],
      ...(['server', 'agent', 'health', 'admin'] as const).map((of) => `--${of}-port=${portOf(of, index)}`),
      ...['--audit-log-file', audit, `--server-id=hub-${index}`],
      ...(count > 1 ? ['--replicas-file', list] : []),
      ...flags,
    )
    await server.until(ready(hub, `http://127.0.0.1:${portOf('health', index)}/healthz`, READY_MS))
    const admin = (path: string) => ready(hub, `http://127.0.0.1:${portOf('admin', index)}${path}`, READY_MS)
    return {
      server,
      port: portOf('server', index),
      audit,
      metrics: () => admin('/metrics'),
      clustersAre: (state, wanted, deadlineMs = READY_MS) =>
        becomes(
          `${wanted.map(({ id }) => id).join(', ')} ${state} at hub-${index}`,
          async () => JSON.parse(await admin('/v1/clusters')).clusters as { id: string; state: string }[],
          (shown) => wanted.every(({ id }) => shown.some((cluster) => cluster.id === id && cluster.state === state)),
          deadlineMs,
        ),
    }
  }
  const [replicas] = await Promise.all([
    Promise.all(replicaNames.map((_, index) => startReplica(index))),
    made.startRouter(routesTo(replicaNames)),
  ])
  const startOne: SharedHub['startAgent'] = (member) =>
    startAgent(made, member, member, '--join-token-file', tokenOf(member.folder))
  const agents = new Map(members.map((member) => [member.id, startOne(member)]))
  for (const { server, clustersAre } of replicas) await server.until(clustersAre('established', members))
  const first = replicas[0] as Replica
  return {
    ...made,
    ...first,
    authority,
    files,
    members,
    replicas,
    names,
    invite,
    startAgent: startOne,
    agents,
  }
}

/** The names of the clusters and of the hub lead to any replica, that of a replica to it. */
function routesTo(replicaNames: readonly string[]): object[] {
  const all = (of: keyof typeof PORTS): string[] => replicaNames.map((_, index) => `127.0.0.1:${portOf(of, index)}`)
  const hosts = [TRUST_DOMAIN, `*.${TRUST_DOMAIN}`]
  const alpn = ['h2', 'culvert-lane/1']
  return [
    { name: 'agents', hosts, alpn, backends: all('agent') },
    { name: 'frontends', hosts, backends: all('server') },
    ...replicaNames.map((name, index) => ({
      name: `hub-${index}`,
      hosts: [name],
      alpn,
      backends: [all('agent')[index]],
    })),
  ]
}

const tokenOf = (folder: string): string => join(folder, 'join-token')

async function member(cell: Cell, authority: Authority, bundle: string): Promise<Member> {
  const state = join(cell.folder, 'state')
  mkdirSync(state)
  const apiserver = await authority.issue('apiserver', `apiserver-${cell.id}`, '--cluster', cell.id)
  const agent = { cert: join(state, 'agent.crt'), key: join(state, 'agent.key'), ca: join(state, 'ca.crt') }
  return { ...cell, ca: bundle, apiserver, agent }
}
