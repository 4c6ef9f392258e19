/** proxy-server and proxy-agent of either maker, by the same flags, with all of their ports known. */
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Pki, temporaryFolder } from '../integration/certificates.ts'
import { eventually } from '../integration/deadline.ts'
import { AGENT, figure } from '../integration/figures.ts'
import { RESTART_MS } from '../integration/rolling.ts'
import type { Server } from '../integration/tunnel.ts'
import { freePort } from '../programs/free-port.ts'
import type { Maker } from './pairing.ts'
import { commandOf } from './peers.ts'
import { type Running, start } from './process.ts'

export type RunningServer = Running &
  Pick<Server, 'pki' | 'transport' | 'agentPort' | 'healthPort' | 'adminPort' | 'frontendPort' | 'socketPath'>
export type RunningAgent = Running & Pick<Server, 'healthPort' | 'adminPort'>

/** Its frontend is a Unix socket for http-connect. Returns when it is alive. */
export async function serverOf(t: Test, maker: Maker, pki: Pki, flags: readonly string[] = []): Promise<RunningServer> {
  const socketPath = join(temporaryFolder(t), 'frontend.sock')
  const [agentPort, healthPort, adminPort] = [await freePort(), await freePort(), await freePort()]
  const command = await commandOf('proxy-server', maker, [
    '--mode=http-connect',
    ...[`--uds-name=${socketPath}`, '--server-port=0'],
    ...[`--agent-port=${agentPort}`, '--agent-bind-address=127.0.0.1'],
    ...[`--cluster-ca-cert=${pki.caFile}`, `--cluster-cert=${pki.server.certFile}`],
    `--cluster-key=${pki.server.keyFile}`,
    ...[`--health-port=${healthPort}`, '--health-bind-address=127.0.0.1', `--admin-port=${adminPort}`],
    ...flags,
  ])
  const running = start(t, command)
  await running.answersOk(healthPort, '/healthz')
  await running.answersOk(adminPort, '/metrics')
  return { ...running, pki, transport: 'uds', agentPort, healthPort, adminPort, frontendPort: 0, socketPath }
}

/** Returns when it is alive, connected or not. */
export async function agentOf(
  t: Test,
  maker: Maker,
  { pki, agentPort }: Pick<Server, 'pki' | 'agentPort'>,
  flags: readonly string[] = [],
): Promise<RunningAgent> {
  const [healthPort, adminPort] = [await freePort(), await freePort()]
  const command = await commandOf('proxy-agent', maker, [
    ...['--proxy-server-host=127.0.0.1', `--proxy-server-port=${agentPort}`, `--ca-cert=${pki.caFile}`],
    ...[`--agent-cert=${pki.agent.certFile}`, `--agent-key=${pki.agent.keyFile}`],
    ...['--health-server-host=127.0.0.1', `--health-server-port=${healthPort}`, `--admin-server-port=${adminPort}`],
    ...flags,
  ])
  const running = start(t, command)
  await running.answersOk(healthPort, '/healthz')
  await running.answersOk(adminPort, '/metrics') // its redirect is followed
  return { ...running, healthPort, adminPort }
}

/**
 * Of konnectivity: told to end, it says that it drains, and does not end by itself. Who asks it at once may meet it with nothing
 * open while a server that has not heard of it still sends it dials.
 *
 * @param servers of ours that it is connected to
 */
export async function stopDrained(agent: RunningAgent, servers: readonly Server[]): Promise<void> {
  const drains = 'agent drains'
  const told = servers.map(({ log }) => log.filter(({ msg }) => msg === drains).length)
  agent.signal('SIGTERM')
  await Promise.all(servers.map(({ logged }, index) => logged(drains, told[index]! + 1)))
  await eventually(
    'nothing is open through it',
    () => figure(agent, `${AGENT}open_endpoint_connections`),
    (count) => count === 0,
    RESTART_MS,
  )
  await agent.kill('SIGKILL')
}
