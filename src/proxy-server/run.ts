/** Wires proxy-server together: ports, pools, metrics, shutdown. Decisions live in `core/` and in the tunnel. */
import { createServer } from 'node:net'
import { certificateSeconds } from '../platform/certificate-expiry.ts'
import { tlsProtocol } from '../platform/cipher-suites.ts'
import { type Clock, elapsed } from '../platform/clock.ts'
import { createEndpoints } from '../platform/endpoints.ts'
import { healthRoutes, metricsRoute } from '../platform/health.ts'
import { localNames } from '../platform/local-names.ts'
import type { Log } from '../platform/log.ts'
import { writePortsFile } from '../platform/ports-file.ts'
import { openProfiling } from '../platform/profiling-open.ts'
import { aborted, type Shutdown } from '../platform/shutdown.ts'
import { createBudget } from '../tunnel/budget.ts'
import { PAUSE_SHARE } from '../tunnel/stock-backlog.ts'
import { createAgentListener } from './agent-listener.ts'
import type { AgentStream, AgentStreamDeps } from './agent-stream.ts'
import { createClusters } from './core/clusters.ts'
import { isStrategy } from './core/strategies.ts'
import { createDialNumbers } from './dial-numbers.ts'
import { createDialing } from './dialing.ts'
import { drain, watchDials } from './draining.ts'
import { fleetRoute } from './fleet.ts'
import { createFrontend } from './frontends.ts'
import { openKubernetes } from './kubernetes.ts'
import { createKubernetesMetrics } from './kubernetes-metrics.ts'
import { createServerMetrics, type ServerMetrics } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import { listenOnFrontendSocket, listenOnPorts } from './ports.ts'
import { watchTlsPorts } from './tls-ports.ts'

/** Lets the last frames and statuses leave before the process ends: milliseconds. */
const FAREWELL_MS = 100

/** Longest wait, after all else, for the API server to delete the lease; it expires by itself: milliseconds. */
const WITHDRAW_MS = 5_000

export type ServerDeps = { readonly clock: Clock; readonly log: Log; readonly shutdown: Shutdown }

/**
 * Serves until the first signal, and then until the last tunnel has ended or its time is up.
 *
 * @throws TunnelError `bad-option` with every mistake in files or ports, one per line; nothing listens then
 */
export async function runServer(options: ServerOptions, deps: ServerDeps): Promise<void> {
  const { clock, log, shutdown } = deps
  using tlsPorts = watchTlsPorts(options, clock, log)
  const clusters = createClusters<AgentStream>(options.proxyStrategies.filter(isStrategy))
  const processBudget = createBudget(options.processBufferBytes)
  const sum = (read: (agent: AgentStream) => number): number =>
    clusters.all().reduce((total, agent) => total + read(agent), 0)
  const { metrics, registry } = createServerMetrics({
    agents: () => clusters.all().length,
    backends: clusters.backends,
    connections: () => sum(({ session }) => session.connectionCount()),
    dials: () => sum(({ session }) => session.dialCount()),
    bufferedBytes: () => processBudget.usedBytes,
    certificateSeconds: () =>
      certificateSeconds(
        { 'server-cert': tlsPorts.material('frontend').cert, 'cluster-cert': tlsPorts.material('agent').cert },
        clock.unixMs(),
      ),
    tlsAlarms: tlsPorts.alarms,
  })
  using kubernetes = await openKubernetes(options, { clock, log, metrics: createKubernetesMetrics(registry) })
  const trustDomain = options.trustDomain === '' ? undefined : options.trustDomain
  const common = { protocol: tlsProtocol(options.tlsMinVersion, options.cipherSuites), trustDomain }

  const agents = createAgentListener(
    {
      ...common,
      material: tlsPorts.material('agent'),
      handshakeTimeoutMs: options.tlsHandshakeTimeoutMs,
      handshakesPerSecond: options.handshakesPerSecond,
      streamTimeoutMs: options.agentStreamTimeoutMs,
      maxStreamsPerIdentity: options.maxStreamsPerIdentity,
      maxIdentifiersPerIdentity: options.maxIdentifiersPerIdentity,
      maxHeaderListBytes: options.maxHeaderListBytes,
      ...(kubernetes?.authenticate && { authenticate: kubernetes.authenticate }),
    },
    agentStreamDeps(options, deps, metrics, processBudget),
    {
      connected: (agent) => clusters.add(agent.cluster, agent),
      draining: (agent) => clusters.drain(agent.cluster, agent),
      gone: (agent) => clusters.remove(agent.cluster, agent),
    },
  )
  const dialing = watchDials(
    createDialing({
      clusters,
      clock,
      metrics,
      random: Math.random,
      dialNumber: createDialNumbers(),
      timeoutMs: options.backendDialTimeoutMs,
      maxPendingPerFrontend: options.maxPendingDialsPerFrontend,
    }),
    clock,
  )
  const frontend = createFrontend(options, options.udsName === '' ? tlsPorts.material('frontend') : undefined, common, {
    dialing,
    clock,
    log,
    metrics,
  })
  frontend.server.maxConnections = options.maxFrontendConnections
  frontend.server.on('drop', metrics.frontendDropped)
  tlsPorts.renewWith('agent', agents.renew)
  tlsPorts.renewWith('frontend', frontend.renew)

  const readiness = {
    whenNot: 'server' as const,
    checks: [
      {
        name: 'agent-connected',
        problem: () => (clusters.ready() ? undefined : 'no connection to any proxy agent'),
      },
      { name: 'not-shutting-down', problem: () => (shutdown.drain.aborted ? 'shutting down' : undefined) },
    ],
  }
  const health = createEndpoints(healthRoutes(readiness, registry), metrics.badProbe)
  using profiling = await openProfiling(options, clock, shutdown.drain)
  const admin = createEndpoints(
    { '/metrics': metricsRoute(registry), '/v1/clusters': fleetRoute(clusters), ...profiling?.routes },
    metrics.badProbe,
    { mayBeCalled: localNames(options.adminBindAddress) },
  )
  const agentPort = createServer({ pauseOnConnect: true, noDelay: true }, agents.take)
  const servers = [agentPort, health, admin, frontend.server]
  try {
    const listeners = { agentPort, health, admin, frontend: frontend.server }
    const ports = await listenOnPorts(options, listeners)
    using _socket = await listenOnFrontendSocket(options, listeners)
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
      lastDialMs: dialing.lastMs,
    })
    await Promise.race([withdrawn, elapsed(clock, WITHDRAW_MS), aborted(shutdown.now)])
  } finally {
    frontend.destroyAll()
    for (const agent of clusters.all()) agent.end('UNAVAILABLE', 'the server is shutting down', 'shutdown')
    for (const server of servers) server.close()
    health.closeAllConnections()
    admin.closeAllConnections()
  }
  await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))
  log.info({}, 'stopped')
}

function agentStreamDeps(
  options: ServerOptions,
  { clock, log }: ServerDeps,
  metrics: ServerMetrics,
  processBudget: ReturnType<typeof createBudget>,
): AgentStreamDeps {
  return {
    options: {
      serverId: options.serverId,
      serverCount: options.serverCount,
      maxMessageBytes: options.maxMessageBytes,
      heartbeatTimeoutMs: options.heartbeatTimeoutMs,
      streamBufferBytes: options.streamBufferBytes,
      limits: {
        pendingDials: options.maxPendingDialsPerStream,
        connections: options.maxConnectionsPerStream,
        unknownFramesPerMinute: options.unknownFramesPerMinute,
        stock: {
          connectionBytes: options.connectionBufferBytes,
          streamBytes: options.streamBufferBytes * PAUSE_SHARE,
          slowBytes: options.slowConsumerBytes,
          slowMs: options.slowConsumerTimeMs,
        },
      },
    },
    clock,
    log,
    metrics,
    processBudget,
  }
}
