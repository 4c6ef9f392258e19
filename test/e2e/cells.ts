/**
 * A hub with one public address and the cells of several clusters, all with the same addresses inside: what both layouts
 * of a hub have in common. Which proxy-servers there are behind the router is for the layout.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { cleanUpInTheEnd } from './clean-up.ts'
import { type Answer, type HubClient, type Question, startHubClient } from './hub-client.ts'
import { TRUST_DOMAIN } from './identities.ts'
import { folderOf, HUB_ADDRESS, hostsOf, makeNetworks, type Network, placeOf } from './network.ts'
import type { Certificate } from './pki.ts'
import { type Running, start, withHosts } from './process.ts'
import { ready } from './ready.ts'
import { DOOR_PORT, routerMetrics, startRouter } from './router.ts'
import { HTTP_PORT } from './target.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const READY_MS = 60_000
/** An address of a pod in every cell: each cell has all of them. */
const POD_ADDRESS = '10.88.1.77'

export type Cell = {
  /** Of its cluster. */
  readonly id: string
  readonly network: Network
  readonly folder: string
  /** What its processes find out of where they are; those of no other cell do. */
  readonly place: string
  /** By which its agents and its API server come to the hub. */
  readonly serverName: string
}

/** The files of a cluster: of its API server, with the CA by which it knows the hub, and of its agent, with that of the agent. */
export type Identities = {
  readonly ca: string
  readonly apiserver: Certificate
  readonly agent: Certificate & { readonly ca: string }
}

export type Cells = {
  readonly folder: string
  /** The network namespace. */
  readonly hub: string
  readonly cells: readonly Cell[]
  /** Names of the hub's address, in the place of /etc/hosts. */
  readonly hosts: string
  readonly client: HubClient
  /** Starts a program of this checkout in the hub. */
  start(name: string, program: string, ...flags: readonly string[]): Running
  /** Starts `culvert sni-router`; returns when it listens. */
  startRouter(routes: readonly object[]): Promise<Running>
  /** Its figures. */
  routerMetrics(): Promise<string>
}

/** @param ids of the clusters; @param names more names of the hub */
export async function makeCells(t: Test, ids: readonly string[], names: readonly string[] = []): Promise<Cells> {
  t.teardown(cleanUpInTheEnd())

  const folder = mkdtempSync(folderOf(process.pid))
  const networks = makeNetworks(ids.length)
  const cells = ids.map((id, index): Cell => {
    const network = networks[index] as Network
    const cellFolder = join(folder, id)
    mkdirSync(cellFolder)
    return { id, network, folder: cellFolder, place: placeOf(network.cell), serverName: `${id}.${TRUST_DOMAIN}` }
  })
  const hub = (networks[0] as Network).hub
  const hosts = join(folder, 'hosts')
  const all = [TRUST_DOMAIN, ...names, ...cells.map(({ serverName }) => serverName)]
  writeFileSync(hosts, hostsOf(all))
  await Promise.all(cells.map(startTarget))

  const startHere: Cells['start'] = (name, program, ...flags) =>
    start({ name, namespace: hub, folder, command: [...withHosts(hosts), join(CHECKOUT, program), ...flags] })
  return {
    folder,
    hub,
    cells,
    hosts,
    client: startHubClient(hub),
    start: startHere,
    startRouter: (routes) => startRouter(hub, folder, routes),
    routerMetrics: () => routerMetrics(hub),
  }
}

async function startTarget({ network: { cell }, folder }: Cell): Promise<void> {
  const command = [process.execPath, join(import.meta.dirname, 'target.ts')]
  const target = start({ name: 'target', namespace: cell, folder, command })
  await target.until(ready(cell, `http://127.0.0.1:${HTTP_PORT}/place`, READY_MS))
}

/** Starts our agent in the cell, which comes to the hub by the cell's name, and does not wait for anything. */
export function startAgent(
  { hosts }: Pick<Cells, 'hosts'>,
  { network, folder, serverName }: Cell,
  { agent }: Pick<Identities, 'agent'>,
  ...flags: readonly string[]
): Running {
  const command = [
    ...withHosts(hosts),
    join(CHECKOUT, 'bin/proxy-agent'),
    `--proxy-server-host=${serverName}`,
    `--proxy-server-port=${DOOR_PORT}`,
    ...['--ca-cert', agent.ca, '--agent-cert', agent.cert, '--agent-key', agent.key],
    ...['--agent-id=agent', '--health-server-port=0', '--admin-server-port=0'],
    ...['--audit-log-file', agentAudit({ folder })],
    ...flags,
  ]
  return start({ name: 'proxy-agent', namespace: network.cell, folder, command })
}

export const agentAudit = ({ folder }: Pick<Cell, 'folder'>): string => join(folder, 'agent-audit.log')

/** Asks for the place that a pod of the cell is in, as its API server would reach that pod. @param more what differs */
export function askPlace(
  { client }: Pick<Cells, 'client'>,
  { serverName }: Cell,
  { ca, apiserver }: Identities,
  more: Partial<Question> = {},
): Promise<Answer> {
  const target = `${POD_ADDRESS}:${HTTP_PORT}`
  return client({ host: HUB_ADDRESS, port: DOOR_PORT, serverName, ca, ...apiserver, target, path: '/place', ...more })
}
