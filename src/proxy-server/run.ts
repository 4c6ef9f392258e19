/** Wires proxy-server together: ports, endpoints, shutdown. The data path is in `serving.ts`, decisions in `core/`. */
import { createServer } from 'node:net'
import { createAuditMetrics, openAudit } from '../audit/open-audit.ts'
import { type Clock, elapsed } from '../platform/clock.ts'
import { createEndpoints } from '../platform/endpoints.ts'
import { healthRoutes, metricsRoute } from '../platform/health.ts'
import type { Log } from '../platform/log.ts'
import { writePortsFile } from '../platform/ports-file.ts'
import { openProfiling } from '../platform/profiling-open.ts'
import { aborted, type Shutdown } from '../platform/shutdown.ts'
import { type AdminPort, createAdminPort, mayTellOfClusters } from './admin-port.ts'
import { createFleetMetrics, withoutClusters } from './cluster-metrics.ts'
import { drain } from './draining.ts'
import { fleetOf, fleetRoutes } from './fleet.ts'
import { createFleet } from './fleet-events.ts'
import type { ServerOptions } from './options.ts'
import { listenOnFrontendSocket, listenOnPorts } from './ports.ts'
import { createReadiness } from './readiness.ts'
import { openServing } from './serving.ts'

/** Lets the last frames and statuses leave before the process ends: milliseconds. */
const FAREWELL_MS = 100

/** Longest wait, after all else, for the API server to delete the lease; it expires by itself: milliseconds. */
const WITHDRAW_MS = 5_000

/** Names of the audit log's metrics begin like this. */
export const AUDIT_METRICS = 'culvert_server_'

export type ServerDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly shutdown: Shutdown
  /** Calls that at each SIGHUP, which without anybody who asks for it is what it always was. */
  readonly onHangup: (act: () => void) => Disposable
}

/**
 * Serves until the first signal, and then until the last tunnel has ended or its time is up.
 *
 * @throws TunnelError `bad-option` with every mistake in files or ports, one per line; nothing listens then
 */
export async function runServer(options: ServerOptions, deps: ServerDeps): Promise<void> {
  const { clock, log, shutdown } = deps
  await using audit = openAudit(options.auditLogFile, { clock, log, program: 'proxy-server' })
  using _hangup = audit && deps.onHangup(audit.reopen)
  using fleet = createFleet(clock)
  const readiness = createReadiness(options, { clock, shutdown, hasAgent: () => serving.clusters.ready() })
  let certificates: AdminPort['certificates'] = () => ({})
  using serving = await openServing(options, {
    clock,
    log,
    tell(fact) {
      fleet.take(fact)
      readiness.take(fact)
    },
    audit: audit?.record,
    hasSockets: true,
    certificates: () => certificates(),
  })
  const { agents, frontend, clusters, kubernetes, metrics, registry } = serving
  createAuditMetrics(registry, AUDIT_METRICS, audit)
  createFleetMetrics(registry, fleet)
  const forAll = withoutClusters(registry, options)
  const health = createEndpoints(healthRoutes(readiness, forAll), metrics.badProbe)
  using profiling = await openProfiling(options, clock, shutdown.drain)
  const routes = {
    '/metrics': metricsRoute(mayTellOfClusters(options) ? registry : forAll),
    ...fleetRoutes(() => fleetOf(clusters), fleet),
    ...profiling?.routes,
  }
  using adminPort = createAdminPort(options, routes, {
    clock,
    log,
    badProbe: metrics.badProbe,
    cutOff: metrics.cutOff,
    audit: audit?.record,
  })
  const { server: admin } = adminPort
  certificates = adminPort.certificates
  const agentPort = createServer({ pauseOnConnect: true, noDelay: true }, agents.take)
  const servers = [agentPort, health, admin, frontend.server]
  try {
    const listeners = { agentPort, health, admin, frontend: frontend.server }
    readiness.begin()
    const ports = await listenOnPorts(options, listeners)
    using _socket = await listenOnFrontendSocket(options, listeners)
    await serving.sockets?.open()
    audit?.begin()
    using _portsFile = options.portsFile === '' ? undefined : writePortsFile(options.portsFile, ports)
    log.info({ ...ports, ...(options.udsName && { uds: options.udsName }), server_id: options.serverId }, 'serving')
    kubernetes?.announce()
    await aborted(shutdown.drain)
    const withdrawn = kubernetes?.withdraw()
    await drain({ timeoutMs: options.gracefulShutdownTimeoutMs, quietMs: options.shutdownQuietTimeMs }, deps, {
      agents,
      agentPort,
      connected: clusters.all,
      frontend,
      lastDialMs: serving.lastDialMs,
    })
    await Promise.race([withdrawn, elapsed(clock, WITHDRAW_MS), aborted(shutdown.now)])
  } finally {
    serving.end()
    for (const server of servers) server.close()
    health.closeAllConnections()
    admin.closeAllConnections()
  }
  await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))
  log.info({}, 'stopped')
}
