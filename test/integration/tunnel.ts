/** A proxy-server and its proxy-agents on any free ports, ready to be used. */
import { join } from 'node:path'
import type { Test } from 'tap'
import { makePki, type Pki, temporaryFolder } from './certificates.ts'
import { launch, type Program, readPorts } from './program.ts'

export type Transport = 'tls' | 'uds'
export const TRANSPORTS: readonly Transport[] = ['tls', 'uds']

export type Server = Program & {
  readonly pki: Pki
  readonly transport: Transport
  readonly agentPort: number
  readonly healthPort: number
  readonly adminPort: number
  /** Of the frontend over TLS; 0 over a Unix socket. */
  readonly frontendPort: number
  readonly socketPath: string
}

export type Agent = Program & { readonly healthPort: number; readonly adminPort: number }

export type ServerOptions = {
  readonly transport?: Transport
  readonly flags?: readonly string[]
  readonly nodeFlags?: readonly string[]
  readonly isAlone?: boolean
  readonly pki?: Pki
}

export async function startServer(t: Test, options: ServerOptions = {}): Promise<Server> {
  const { transport = 'tls', flags = [], nodeFlags = [], isAlone = false, pki = await makePki(t) } = options
  const folder = temporaryFolder(t)
  const socketPath = join(folder, 'frontend.sock')
  const portsFile = join(folder, 'ports')
  const frontend =
    transport === 'uds'
      ? [`--uds-name=${socketPath}`, '--server-port=0']
      : [...frontendFlags(pki), '--server-listen-any']
  const program = launch(t, {
    name: 'proxy-server',
    flags: [...frontend, ...anyPortFlags(portsFile), ...agentPortFlags(pki), '--mode=http-connect', ...flags],
    nodeFlags,
    isAlone,
  })
  await program.logged('serving')
  const ports = readPorts(portsFile)
  return {
    ...program,
    pki,
    transport,
    agentPort: ports.agent ?? 0,
    healthPort: ports.health ?? 0,
    adminPort: ports.admin ?? 0,
    frontendPort: ports.server ?? 0,
    socketPath,
  }
}

export const frontendFlags = ({ server, caFile }: Pki): string[] => [
  `--server-cert=${server.certFile}`,
  `--server-key=${server.keyFile}`,
  `--server-ca-cert=${caFile}`,
]
export const agentPortFlags = ({ server, caFile }: Pki): string[] => [
  `--cluster-cert=${server.certFile}`,
  `--cluster-key=${server.keyFile}`,
  `--cluster-ca-cert=${caFile}`,
]
const anyPortFlags = (portsFile: string): string[] => [
  `--ports-file=${portsFile}`,
  '--agent-port=0',
  '--health-port=0',
  '--health-bind-address=127.0.0.1',
  '--admin-port=0',
]

export type AgentOptions = { readonly flags?: readonly string[]; readonly nodeFlags?: readonly string[] }

/** Does not wait until it is connected. */
export async function launchAgent(
  t: Test,
  { pki, agentPort }: { readonly pki: Pki; readonly agentPort: number },
  { flags = [], nodeFlags = [] }: AgentOptions = {},
): Promise<Agent> {
  const portsFile = join(temporaryFolder(t), 'ports')
  const program = launch(t, {
    name: 'proxy-agent',
    flags: [
      `--proxy-server-port=${agentPort}`,
      `--ca-cert=${pki.caFile}`,
      `--agent-cert=${pki.agent.certFile}`,
      `--agent-key=${pki.agent.keyFile}`,
      `--ports-file=${portsFile}`,
      '--health-server-host=127.0.0.1',
      '--health-server-port=0',
      '--admin-server-port=0',
      '--sync-interval=50ms',
      ...flags,
    ],
    nodeFlags,
  })
  await program.logged('running')
  const ports = readPorts(portsFile)
  return { ...program, healthPort: ports.health ?? 0, adminPort: ports.admin ?? 0 }
}

/** Returns once both ends know of each other. */
export async function startAgent(t: Test, server: Server, options: AgentOptions = {}): Promise<Agent> {
  const before = server.log.filter(({ msg }) => msg === 'agent connected').length
  const agent = await launchAgent(t, server, options)
  await Promise.all([agent.logged('connected'), server.logged('agent connected', before + 1)])
  return agent
}

export type Tunnel = { readonly server: Server; readonly agent: Agent }

export async function startTunnel(
  t: Test,
  options: ServerOptions = {},
  agentOptions: AgentOptions = {},
): Promise<Tunnel> {
  const server = await startServer(t, options)
  return { server, agent: await startAgent(t, server, agentOptions) }
}

/**
 * One over each frontend, when all are ready. A file starts what its tests share before it has the first of them: tap ends
 * when it sees none left to run.
 */
export const startTunnels = (
  t: Test,
  options: ServerOptions = {},
  agentOptions: AgentOptions = {},
): Promise<Tunnel[]> =>
  Promise.all(TRANSPORTS.map((transport) => startTunnel(t, { ...options, transport }, agentOptions)))
