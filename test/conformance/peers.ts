/**
 * A server and an agent, ours or konnectivity's, by the very same flags: what is asserted of a pairing is asserted of a
 * drop-in. They are started again under the same flags and ports.
 */
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Pki } from '../integration/certificates.ts'
import { freePort } from '../programs/free-port.ts'
import { program } from '../programs/programs.ts'
import { type Maker, type Pairing, programOf } from './pairing.ts'
import { type Running, start } from './process.ts'

const CHECKOUT = join(import.meta.dirname, '../..')

export type Peers = {
  readonly pki: Pki
  /** Of the frontend over TLS; 0 over a Unix socket. */
  readonly frontendPort: number
  readonly socketPath: string
  readonly serverHealthPort: number
  readonly agentHealthPort: number
  /** Ready, when these are fulfilled, to take agents; and to open connections. */
  readonly startServer: () => Promise<Running>
  readonly startAgent: () => Promise<Running>
  /** When a server and an agent have found each other. */
  readonly joined: (server: Running, agent: Running) => Promise<void>
}

/** @param more flags of the server */
export async function makePeers(
  t: Test,
  pki: Pki,
  folder: string,
  pairing: Pairing,
  more: readonly string[] = [],
): Promise<Peers> {
  const { way } = pairing
  const frontendPort = way.transport === 'tls' ? await freePort() : 0
  const socketPath = join(folder, 'frontend.sock')
  const agentPort = await freePort()
  const [serverHealthPort, agentHealthPort] = [await freePort(), await freePort()]
  const frontend =
    way.transport === 'uds'
      ? [`--uds-name=${socketPath}`, '--server-port=0']
      : [
          `--server-port=${frontendPort}`,
          '--server-bind-address=127.0.0.1',
          `--server-ca-cert=${pki.caFile}`,
          `--server-cert=${pki.server.certFile}`,
          `--server-key=${pki.server.keyFile}`,
        ]
  const serverFlags = [
    `--mode=${way.mode}`,
    ...frontend,
    `--agent-port=${agentPort}`,
    '--agent-bind-address=127.0.0.1',
    `--cluster-ca-cert=${pki.caFile}`,
    `--cluster-cert=${pki.server.certFile}`,
    `--cluster-key=${pki.server.keyFile}`,
    `--health-port=${serverHealthPort}`,
    '--health-bind-address=127.0.0.1',
    `--admin-port=${await freePort()}`,
    ...more,
  ]
  const agentFlags = [
    '--proxy-server-host=127.0.0.1',
    `--proxy-server-port=${agentPort}`,
    `--ca-cert=${pki.caFile}`,
    `--agent-cert=${pki.agent.certFile}`,
    `--agent-key=${pki.agent.keyFile}`,
    '--health-server-host=127.0.0.1',
    `--health-server-port=${agentHealthPort}`,
    `--admin-server-port=${await freePort()}`,
  ]
  return {
    pki,
    frontendPort,
    socketPath,
    serverHealthPort,
    agentHealthPort,
    async startServer() {
      const server = start(t, await commandOf('proxy-server', pairing.server, serverFlags))
      await server.answersOk(serverHealthPort, '/healthz')
      return server
    },
    async startAgent() {
      const agent = start(t, await commandOf('proxy-agent', pairing.agent, agentFlags))
      await agent.answersOk(agentHealthPort, '/healthz')
      return agent
    },
    async joined(server, agent) {
      await agent.answersOk(agentHealthPort, '/readyz')
      await server.answersOk(serverHealthPort, '/readyz')
    },
  }
}

export async function commandOf(name: 'proxy-server' | 'proxy-agent', maker: Maker, flags: readonly string[]) {
  if (maker === 'ours')
    return { name, file: process.execPath, args: [join(CHECKOUT, 'src/cli', `${name}.ts`), ...flags] }
  const stock = name === 'proxy-server' ? 'konnectivity-server' : 'konnectivity-agent'
  return { name, file: await program(programOf(stock, maker)), args: flags }
}
