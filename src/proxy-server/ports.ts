/** What proxy-server listens on, one after the other, so that the first that cannot be had is the one that is named. */
import type { Server } from 'node:net'
import { listen } from '../platform/listen.ts'
import type { ServerOptions } from './options.ts'
import { listenOnUnixSocket } from './unix-socket.ts'

export type Listeners = Readonly<Record<'agentPort' | 'health' | 'admin' | 'frontend', Server>>

/**
 * @returns what was bound, for the ports file
 * @throws TunnelError `bad-option`
 */
export async function listenOnPorts(options: ServerOptions, servers: Listeners): Promise<Record<string, number>> {
  const ports: Record<string, number> = {}
  ports.agent = await listen(servers.agentPort, {
    flag: '--agent-port',
    host: options.agentBindAddress,
    port: options.agentPort,
  })
  ports.health = await listen(servers.health, {
    flag: '--health-port',
    host: options.healthBindAddress,
    port: options.healthPort,
  })
  ports.admin = await listen(servers.admin, {
    flag: '--admin-port',
    host: options.adminBindAddress,
    port: options.adminPort,
  })
  if (options.udsName !== '') return ports
  ports.server = await listen(servers.frontend, {
    flag: '--server-port',
    host: options.serverBindAddress,
    port: options.serverListenAny ? 0 : options.serverPort,
  })
  return ports
}

/** @returns removes the socket */
export async function listenOnFrontendSocket(
  options: ServerOptions,
  { frontend }: Listeners,
): Promise<Disposable | undefined> {
  if (options.udsName === '') return undefined
  return await listenOnUnixSocket(frontend, options.udsName, options.deleteExistingUdsFile)
}
