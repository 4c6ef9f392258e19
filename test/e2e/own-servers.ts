/**
 * A proxy-server for each cluster of a hub, all behind the router by their names. Every other one is a drop-in as konnectivity's,
 * with a CA of its own that says who may come; the rest share the hub's CA, and know by a clusters file which one they are of.
 */
import { join } from 'node:path'
import type { Test } from 'tap'
import { figureIn, SERVER } from '../integration/figures.ts'
import { type Cell, type Cells, type Identities, makeCells, startAgent } from './cells.ts'
import { type Authority, culvert, makeAuthority, TRUST_DOMAIN } from './identities.ts'
import type { Running } from './process.ts'
import { ready } from './ready.ts'
import { becomes } from './waiting.ts'

const FIRST_PORT = 20_000
const READY_MS = 60_000

export type Owner = Cell &
  Identities & {
    readonly tenancy: 'single' | 'multi'
    readonly audit: string
    readonly server: Running
    metrics(): Promise<string>
  }

/** Returns when every server has an agent. */
export async function startOwnServers(t: Test, ids: readonly string[]): Promise<Cells & { readonly owners: Owner[] }> {
  const made = await makeCells(t, ids)
  const { folder, cells } = made
  const shared = await makeAuthority(join(folder, 'pki'))
  const owners = await Promise.all(
    cells.map(async (cell, index) => {
      const tenancy = index % 2 === 0 ? 'single' : 'multi'
      const authority = tenancy === 'single' ? await makeAuthority(join(cell.folder, 'pki')) : shared
      return startOne(made, cell, FIRST_PORT + 10 * index, tenancy, authority)
    }),
  )
  const backends = (offset: number, index: number): string[] => [`127.0.0.1:${FIRST_PORT + 10 * index + offset}`]
  await made.startRouter(
    cells.flatMap(({ id, serverName }, index) => [
      { name: `${id}-agents`, hosts: [serverName], alpn: ['h2', 'culvert-lane/1'], backends: backends(1, index) },
      { name: `${id}-frontends`, hosts: [serverName], backends: backends(0, index) },
    ]),
  )
  for (const owner of owners) startAgent(made, owner, owner)
  await Promise.all(
    owners.map(({ id, server, metrics }) => {
      const count = async (): Promise<number> => figureIn(await metrics(), `${SERVER}ready_backend_connections`)
      return server.until(becomes(`the server of ${id} has an agent`, count, (agents) => agents === 1, READY_MS))
    }),
  )
  return { ...made, owners }
}

async function startOne(
  { hub, start }: Cells,
  cell: Cell,
  port: number,
  tenancy: Owner['tenancy'],
  authority: Authority,
): Promise<Owner> {
  const { id, folder, serverName } = cell
  const [server, agent, apiserver] = await Promise.all([
    authority.issue('server', `server-${id}`, '--dns', serverName),
    authority.issue('agent', `agent-${id}`, '--cluster', id),
    authority.issue('apiserver', `apiserver-${id}`, '--cluster', id),
  ])
  const [ca, audit, clusters] = [authority.ca.cert, join(folder, 'hub-audit.log'), join(folder, 'clusters.yaml')]
  if (tenancy === 'multi') await culvert('clusters', 'add', id, '--clusters', clusters)
  const running = start(
    `proxy-server-${id}`,
    'bin/proxy-server',
    ...['--mode=http-connect', '--trust-domain', TRUST_DOMAIN, '--audit-log-file', audit],
    ...['--server-cert', server.cert, '--server-key', server.key, '--server-ca-cert', ca],
    ...['--cluster-cert', server.cert, '--cluster-key', server.key, '--cluster-ca-cert', ca],
    ...(tenancy === 'multi' ? ['--tenancy=multi', '--clusters', clusters] : []),
    ...[`--server-port=${port}`, `--agent-port=${port + 1}`, `--health-port=${port + 2}`, `--admin-port=${port + 3}`],
  )
  const metrics = (): Promise<string> => ready(hub, `http://127.0.0.1:${port + 3}/metrics`, READY_MS)
  return { ...cell, ca, apiserver, agent: { ...agent, ca }, tenancy, audit, server: running, metrics }
}
