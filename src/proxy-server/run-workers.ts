/**
 * proxy-server with several workers: this process has the ports, the endpoints, the lease and the log, and starts the others,
 * which serve: docs/workers.md, docs/adr/0018.
 */
import type { ChildProcess } from 'node:child_process'
import { createServer, type Server, type Socket } from 'node:net'
import { createAuditMetrics, openAudit } from '../audit/open-audit.ts'
import { certificateSeconds } from '../platform/certificate-expiry.ts'
import { elapsed } from '../platform/clock.ts'
import { createEndpoints } from '../platform/endpoints.ts'
import { healthRoutes, metricsRoute } from '../platform/health.ts'
import type { LogSink } from '../platform/log-sink.ts'
import { writePortsFile } from '../platform/ports-file.ts'
import { openProfiling } from '../platform/profiling-open.ts'
import { aborted } from '../platform/shutdown.ts'
import { createAdminPort, mayTellOfClusters } from './admin-port.ts'
import { createFleetMetrics, withoutClusters } from './cluster-metrics.ts'
import { fleetRoutes } from './fleet.ts'
import { createFleet } from './fleet-events.ts'
import { openKubernetes } from './kubernetes.ts'
import { createKubernetesMetrics } from './kubernetes-metrics.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import { listenOnFrontendSocket, listenOnPorts } from './ports.ts'
import { certificateGauge } from './prometheus.ts'
import { createReadiness } from './readiness.ts'
import { AUDIT_METRICS, type ServerDeps } from './run.ts'
import { createTeamMetrics, metricsOfTeam } from './team-metrics.ts'
import { fleetOfTeam, profilesOfTeam } from './team-routes.ts'
import { leaseIds } from './worker-options.ts'
import { watchWorkerPolicy } from './worker-policy.ts'
import type { WorkerSockets } from './worker-sockets.ts'
import { createWorkerTeam, type WorkerTeam } from './worker-team.ts'

/** Longest wait, after all else, for the API server to delete the leases; they expire by themselves: milliseconds. */
const WITHDRAW_MS = 5_000
/** A worker ends by itself when its time is up; this much later it is ended: milliseconds. */
const OVERTIME_MS = 10_000

export type WorkersDeps = ServerDeps & {
  /** Starts this program once more, as a worker. */
  readonly launch: (slot: number) => ChildProcess
  /** Where the log goes, for the lines of workers. */
  readonly lines: LogSink
}

/**
 * As `runServer`. The workers start before anything listens, so that what they refuse is told first.
 *
 * @throws TunnelError `bad-option` as `runServer`, `no-worker` when the workers cannot be kept running
 */
export async function runWorkers(options: ServerOptions, deps: WorkersDeps): Promise<void> {
  const { clock, log, shutdown } = deps
  await using audit = openAudit(options.auditLogFile, { clock, log, program: 'proxy-server' })
  using _hangup = audit && deps.onHangup(audit.reopen)
  using fleet = createFleet(clock)
  const { registry, badProbe, cutOff, workerCrashed } = createTeamMetrics(() => team.members())
  createAuditMetrics(registry, AUDIT_METRICS, audit)
  createFleetMetrics(registry, fleet)
  using policy = watchWorkerPolicy(options, clock)
  const readiness = createReadiness(options, {
    clock,
    shutdown,
    hasAgent: () => team.members().some(({ ready }) => ready),
    workers: () => team.members(),
  })
  let clusterSockets: WorkerSockets | undefined
  const team: WorkerTeam = createWorkerTeam(options, {
    ...deps,
    audit: audit?.record,
    auditLost: audit?.lose,
    tell(fact) {
      fleet.take(fact)
      readiness.take(fact)
    },
    crashed: workerCrashed,
    up: readiness.workerUp,
    inUse: () => clusterSockets?.inUse() ?? policy?.inUse(), // a server of many clusters has its policies with them
  })
  using kubernetes = await openKubernetes(
    { ...options, agentNamespace: '', authenticationAudience: '' }, // whose the tokens are is asked by the workers
    { clock, log, metrics: createKubernetesMetrics(registry) },
  )
  const metrics = metricsOfTeam(registry, () => team)
  const forAll = withoutClusters(metrics, options)
  const health = createEndpoints(healthRoutes(readiness, forAll), badProbe)
  using profiling = await openProfiling(options, clock, shutdown.drain)
  const routes = {
    '/metrics': metricsRoute(mayTellOfClusters(options) ? metrics : forAll),
    ...fleetRoutes(fleetOfTeam(team.members), fleet),
    ...profilesOfTeam(profiling?.routes ?? {}, team.members),
  }
  using adminPort = createAdminPort(options, routes, { clock, log, badProbe, cutOff, audit: audit?.record })
  const { server: admin } = adminPort
  certificateGauge(registry, () => certificateSeconds(adminPort.certificates(), clock.unixMs()))
  const agentPort = acceptFor(team, 'agent', {})
  const frontend = acceptFor(team, 'frontend', { allowHalfOpen: true })
  using sockets = await socketsOf(options, deps, team)
  clusterSockets = sockets
  const servers = [agentPort, health, admin, frontend]
  try {
    using _restart = deps.onHangup(team.restart)
    await Promise.race([team.start(), aborted(shutdown.drain)])
    const listeners = { agentPort, health, admin, frontend }
    readiness.begin()
    const ports = await listenOnPorts(options, listeners)
    using _socket = await listenOnFrontendSocket(options, listeners)
    await sockets?.open()
    audit?.begin()
    using _portsFile = options.portsFile === '' ? undefined : writePortsFile(options.portsFile, ports)
    const { serverId, workers } = options
    log.info({ ...ports, ...(options.udsName && { uds: options.udsName }), server_id: serverId, workers }, 'serving')
    kubernetes?.announce(leaseIds(serverId, workers))
    await Promise.race([aborted(shutdown.drain), team.broken])
    const withdrawn = kubernetes?.withdraw()
    await drain(options, deps, team, agentPort, () => {
      sockets?.[Symbol.dispose]()
      frontend.close()
    })
    await Promise.race([withdrawn, elapsed(clock, WITHDRAW_MS), aborted(shutdown.now)])
  } finally {
    team.kill(false) // the server ends
    for (const server of servers) server.close()
    health.closeAllConnections()
    admin.closeAllConnections()
  }
  log.info({}, 'stopped')
}

/** Whoever is accepted is handed over unread. */
function acceptFor(team: WorkerTeam, port: Port, options: { allowHalfOpen?: boolean }): Server {
  const settings = { pauseOnConnect: true, noDelay: true, ...options }
  return createServer(settings, (connection: Socket) => {
    connection.on('error', () => undefined)
    team.give({ port, connection })
  })
}

/** Those of clusters, on a server of many. */
async function socketsOf(
  options: ServerOptions,
  deps: WorkersDeps,
  team: WorkerTeam,
): Promise<WorkerSockets | undefined> {
  if (options.tenancy === 'single') return undefined
  const { watchWorkerSockets } = await import('./worker-sockets.ts')
  return watchWorkerSockets(options, deps, (connection, entrance) => {
    connection.on('error', () => undefined)
    team.give({ port: 'frontend', connection, entrance })
  })
}

async function drain(
  options: ServerOptions,
  { clock, log, shutdown }: WorkersDeps,
  team: WorkerTeam,
  agentPort: Server,
  closeFrontend: () => void,
): Promise<void> {
  agentPort.close()
  log.info({ signal: shutdown.drain.reason, timeout_ms: options.gracefulShutdownTimeoutMs }, 'shutting down')
  using _overtime = clock.after(options.gracefulShutdownTimeoutMs + OVERTIME_MS, () => team.kill())
  const stop = (): void => team.stop(String(shutdown.now.reason))
  if (shutdown.now.aborted) stop()
  shutdown.now.addEventListener('abort', stop, { once: true })
  await team.drain(String(shutdown.drain.reason), closeFrontend)
}
