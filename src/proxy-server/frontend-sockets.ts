/** The Unix sockets of clusters as further entrances of the frontend: within its limit of connections, and closed with it. */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type ClusterSockets, createClusterSockets } from './cluster-sockets.ts'
import type { FrontendListener } from './frontend-listener.ts'
import type { ServerMetrics } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import type { Tenants } from './tenants.ts'

export type FrontendSocketsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly tenants: Tenants
  readonly metrics: Pick<ServerMetrics, 'frontendDropped'>
}

/** They follow the clusters file, and are not open yet. */
export function openFrontendSockets(
  options: ServerOptions,
  frontend: FrontendListener,
  { clock, log, tenants, metrics }: FrontendSocketsDeps,
): ClusterSockets {
  const sockets = createClusterSockets({
    clock,
    log,
    directory: tenants.directory,
    deleteExisting: options.deleteExistingUdsFile,
    allowHalfOpen: options.mode === 'http-connect',
    pauseOnConnect: false,
    take(socket, entrance) {
      if (frontend.count() < options.maxFrontendConnections) return frontend.take(socket, entrance)
      metrics.frontendDropped()
      socket.destroy()
    },
  })
  tenants.onChange(() => void sockets.follow())
  return sockets
}

/** The sockets close when the frontend does. */
export function withSockets<F extends FrontendListener>(frontend: F, sockets: ClusterSockets): F {
  return {
    ...frontend,
    close() {
      sockets[Symbol.dispose]()
      return frontend.close()
    },
  }
}
