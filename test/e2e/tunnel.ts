/**
 * proxy-server in the hub and proxy-agent in the cell, ours or konnectivity's, by the same flags. The ports are fixed:
 * each run has network namespaces of its own.
 */
import { join } from 'node:path'
import { program } from '../programs/programs.ts'
import { type Egress, egressModes, FRONTEND_PORT, frontendSocket } from './egress.ts'
import { HUB_ADDRESS, type Network } from './network.ts'
import type { Certificate, Pki } from './pki.ts'
import { type Running, start } from './process.ts'
import { ready } from './ready.ts'

export type Maker = 'ours' | 'stock'

export const AGENT_PORT = 8091
const SERVER_HEALTH_PORT = 8092
const FIRST_AGENT_HEALTH_PORT = 18_093
const READY_MS = 20_000
const CHECKOUT = join(import.meta.dirname, '../..')

export type Server = Running & {
  /** Fulfilled when the server has an agent. */
  hasAgent(): Promise<unknown>
  metrics(): Promise<string>
}

export async function startServer(
  maker: Maker,
  egress: Egress,
  network: Network,
  { tunnel }: Pki,
  folder: string,
): Promise<Server> {
  const { mode, transport } = egressModes[egress]
  const frontend =
    transport === 'uds'
      ? ['--uds-name', frontendSocket(folder), '--server-port=0']
      : [`--server-port=${FRONTEND_PORT}`, ...flagsOf('server', tunnel.server), '--server-ca-cert', tunnel.ca.cert]
  const command = [
    maker === 'ours' ? join(CHECKOUT, 'bin/proxy-server') : await program('konnectivity-server'),
    `--mode=${mode}`,
    ...frontend,
    `--agent-port=${AGENT_PORT}`,
    ...flagsOf('cluster', tunnel.server),
    ...['--cluster-ca-cert', tunnel.ca.cert],
    `--health-port=${SERVER_HEALTH_PORT}`,
  ]
  const server = start({ name: 'proxy-server', namespace: network.hub, folder, command })
  const at = (path: string) => `http://127.0.0.1:${SERVER_HEALTH_PORT}${path}`
  await server.until(ready(network.hub, at('/healthz'), READY_MS))
  return {
    ...server,
    hasAgent: () => ready(network.hub, at('/readyz'), READY_MS),
    metrics: () => ready(network.hub, at('/metrics'), READY_MS),
  }
}

/**
 * Returns once it is connected.
 *
 * @param index from 0; each agent of a cell has health and admin ports of its own
 * @param more flags
 */
export async function startAgent(
  maker: Maker,
  index: number,
  network: Network,
  { tunnel }: Pki,
  folder: string,
  more: readonly string[] = [],
): Promise<Running> {
  const healthPort = FIRST_AGENT_HEALTH_PORT + 2 * index
  const command = [
    maker === 'ours' ? join(CHECKOUT, 'bin/proxy-agent') : await program('konnectivity-agent'),
    `--proxy-server-host=${HUB_ADDRESS}`,
    `--proxy-server-port=${AGENT_PORT}`,
    ...['--ca-cert', tunnel.ca.cert],
    ...flagsOf('agent', tunnel.agent),
    `--health-server-port=${healthPort}`,
    `--admin-server-port=${healthPort + 1}`,
    `--agent-id=agent-${index}`,
    ...more,
  ]
  const agent = start({ name: `proxy-agent-${index}`, namespace: network.cell, folder, command })
  await agent.until(ready(network.cell, `http://127.0.0.1:${healthPort}/readyz`, READY_MS))
  return agent
}

function flagsOf(prefix: string, { cert, key }: Certificate): string[] {
  return [`--${prefix}-cert`, cert, `--${prefix}-key`, key]
}
