/**
 * One cluster-aware proxy-server for all clusters of a hub, behind the router: `--tenancy=multi`. Its agents join by
 * tokens and renew by themselves, its API servers have certificates of `culvert pki`.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Cell, type Cells, type Identities, makeCells, startAgent } from './cells.ts'
import { type Authority, culvert, makeAuthority, TRUST_DOMAIN } from './identities.ts'
import { becomes } from './lease-hub.ts'
import type { Certificate } from './pki.ts'
import type { Running } from './process.ts'
import { ready } from './ready.ts'

const FRONTEND_PORT = 8090
const AGENT_PORT = 8091
const HEALTH_PORT = 8092
const ADMIN_PORT = 8095
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

export type SharedHub = Cells & {
  readonly authority: Authority
  readonly files: ServerFiles
  readonly members: readonly Member[]
  readonly server: Running
  readonly audit: string
  /** Flags of `culvert pki issue server` that give a certificate the names of the hub. */
  readonly names: readonly string[]
  /** With names of clusters. */
  metrics(): Promise<string>
  /** Asks the server until each of the clusters is in that state. */
  clustersAre(state: string, members: readonly Member[], deadlineMs?: number): Promise<unknown>
  /** Makes a token for an agent of this cluster. */
  invite(member: Cell): Promise<void>
  /** Starts one that has been invited, or has joined. */
  startAgent(member: Member): Running
  /** Those that are started at first, by cluster. */
  readonly agents: ReadonlyMap<string, Running>
}

/** Returns when all clusters are connected. @param flags more of the server */
export async function startSharedHub(
  t: Test,
  ids: readonly string[],
  flags: readonly string[] = [],
): Promise<SharedHub> {
  const made = await makeCells(t, ids)
  const { folder, hub, cells } = made
  const file = (name: string): string => join(folder, name)
  const authority = await makeAuthority(file('pki'))
  const names = [TRUST_DOMAIN, ...cells.map(({ serverName }) => serverName)].flatMap((name) => ['--dns', name])
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

  const [tokens, clusters, audit] = [file('join-tokens'), file('clusters.yaml'), file('hub-audit.log')]
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
  const server = made.start(
    'proxy-server',
    'bin/proxy-server',
    ...['--mode=http-connect', '--tenancy=multi', '--clusters', clusters, '--trust-domain', TRUST_DOMAIN],
    ...['--server-cert', files.server.cert, '--server-key', files.server.key],
    ...['--server-ca-cert', bundle, '--server-crl-file', crl],
    ...['--cluster-cert', files.server.cert, '--cluster-key', files.server.key],
    ...['--cluster-ca-cert', bundle, '--cluster-crl-file', crl],
    ...['--enrolment-ca-cert', issuing.cert, '--enrolment-ca-key', issuing.key, '--join-tokens', tokens],
    ...[`--server-port=${FRONTEND_PORT}`, `--agent-port=${AGENT_PORT}`, `--health-port=${HEALTH_PORT}`],
    ...[`--admin-port=${ADMIN_PORT}`, '--audit-log-file', audit],
    ...flags,
  )
  const hosts = [TRUST_DOMAIN, `*.${TRUST_DOMAIN}`]
  await Promise.all([
    server.until(ready(hub, `http://127.0.0.1:${HEALTH_PORT}/healthz`, READY_MS)),
    made.startRouter([
      { name: 'agents', hosts, alpn: ['h2', 'culvert-lane/1'], backends: [`127.0.0.1:${AGENT_PORT}`] },
      { name: 'frontends', hosts, backends: [`127.0.0.1:${FRONTEND_PORT}`] },
    ]),
  ])

  const admin = (path: string) => ready(hub, `http://127.0.0.1:${ADMIN_PORT}${path}`, READY_MS)
  const startOne: SharedHub['startAgent'] = (member) =>
    startAgent(made, member, member, '--join-token-file', tokenOf(member.folder))
  const agents = new Map(members.map((member) => [member.id, startOne(member)]))
  const clustersAre: SharedHub['clustersAre'] = (state, wanted, deadlineMs = READY_MS) =>
    becomes(
      `${wanted.map(({ id }) => id).join(', ')} ${state}`,
      async () => JSON.parse(await admin('/v1/clusters')).clusters as { id: string; state: string }[],
      (shown) => wanted.every(({ id }) => shown.some((cluster) => cluster.id === id && cluster.state === state)),
      deadlineMs,
    )
  await server.until(clustersAre('established', members))
  return {
    ...made,
    authority,
    files,
    members,
    server,
    audit,
    names,
    metrics: () => admin('/metrics'),
    clustersAre,
    invite,
    startAgent: startOne,
    agents,
  }
}

const tokenOf = (folder: string): string => join(folder, 'join-token')

async function member(cell: Cell, authority: Authority, bundle: string): Promise<Member> {
  const state = join(cell.folder, 'state')
  mkdirSync(state)
  const apiserver = await authority.issue('apiserver', `apiserver-${cell.id}`, '--cluster', cell.id)
  const agent = { cert: join(state, 'agent.crt'), key: join(state, 'agent.key'), ca: join(state, 'ca.crt') }
  return { ...cell, ca: bundle, apiserver, agent }
}
