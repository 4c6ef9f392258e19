/**
 * The data path of a server: pools of agents, dialing, both listeners, and what is counted of them. It takes connections; who
 * listens, and on what, is the caller's (`run.ts`, `run-worker.ts`).
 */
import type { Registry } from 'prom-client'
import { auditInFull } from '../audit/in-full.ts'
import type { Audit } from '../audit/record.ts'
import { createRepeatedAudit } from '../audit/repeated.ts'
import { createRevocationMetrics } from '../pki/revocation-metrics.ts'
import { certificateSeconds } from '../platform/certificate-expiry.ts'
import { tlsProtocol } from '../platform/cipher-suites.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { FileText } from '../platform/watched.ts'
import { createBudget } from '../tunnel/budget.ts'
import { type AgentListener, createAgentListener } from './agent-listener.ts'
import { agentStreamOptions } from './agent-stream-options.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import { auditDials } from './audited-dialing.ts'
import { createClusterMetrics } from './cluster-metrics.ts'
import type { ClusterSockets } from './cluster-sockets.ts'
import { createArrivals } from './core/arrivals.ts'
import { BEGUN_BYTES, createBegunMessages } from './core/begun-messages.ts'
import { type Clusters, createClusters } from './core/clusters.ts'
import type { FleetFact } from './core/fleet-feed.ts'
import { isStrategy } from './core/strategies.ts'
import { createUnreadBytes } from './core/unread.ts'
import { watchCrlFiles } from './crl-files.ts'
import { createDialNumbers } from './dial-numbers.ts'
import { createDialing } from './dialing.ts'
import { type WatchedFrontend, watchDials, watchTaken } from './draining.ts'
import { createFleetFacts } from './fleet-facts.ts'
import { openFrontDoors } from './front-doors.ts'
import { createPenalty } from './frontend-penalty.ts'
import { openFrontendSockets, withSockets } from './frontend-sockets.ts'
import { createFrontend } from './frontends.ts'
import { createJudging } from './judging.ts'
import type { ServerKubernetes } from './kubernetes.ts'
import { createLaneTokens } from './lane-tokens.ts'
import type { Port, ServerMetrics } from './metrics.ts'
import { type OptionalParts, openOptionalParts } from './optional-parts.ts'
import type { ServerOptions } from './options.ts'
import { createServerMetrics } from './prometheus.ts'
import { createStanding, type Standing } from './standing.ts'
import { noRoom } from './strangers.ts'
import { watchTlsPorts } from './tls-ports.ts'

export type ServingDeps = {
  readonly clock: Clock
  readonly log: Log
  /** An agent has come or gone. */
  readonly agentsChanged?: () => void
  /** Whether this process accepts on Unix sockets of clusters; in a worker another one does, whose sockets it would take over. */
  readonly hasSockets: boolean
  /** Texts of the clusters that other processes of this server have in use. */
  readonly inUse?: readonly FileText[] | undefined
  /** In use by other ports of this process, by flag: PEM. */
  readonly certificates?: () => Record<string, string | undefined>
  /** What happens to streams of agents. */
  readonly tell: (fact: FleetFact) => void
  /** None: nothing is told. */
  readonly audit?: Audit | undefined
}

/** Disposing it looks no longer at files and asks Kubernetes nothing more. */
export type Serving = Disposable & {
  readonly agents: AgentListener
  readonly frontend: WatchedFrontend
  /** Of clusters, where this process has them; they are not open yet. */
  readonly sockets: ClusterSockets | undefined
  readonly clusters: Clusters<AgentStream>
  readonly kubernetes: ServerKubernetes | undefined
  readonly metrics: ServerMetrics
  readonly registry: Registry
  readonly lastDialMs: () => number
  /** Breaks what is still open, on both sides. */
  readonly end: () => void
}

/** @throws TunnelError `bad-option` with every mistake in files, one per line */
export async function openServing(options: ServerOptions, deps: ServingDeps): Promise<Serving> {
  const { clock, log, audit, agentsChanged = () => undefined } = deps
  const auditOften = audit && createRepeatedAudit(audit, clock)
  using opened = new DisposableStack()
  const tlsPorts = opened.use(watchTlsPorts(options, clock, log))
  const crlFiles = opened.use(
    watchCrlFiles(options, tlsPorts, { clock, log, changed: (port) => standings[port].look() }),
  )
  const clusters = createClusters<AgentStream>(options.proxyStrategies.filter(isStrategy))
  const processBudget = createBudget(options.processBufferBytes)
  const sum = (read: (agent: AgentStream) => number): number =>
    clusters.all().reduce((total, agent) => total + read(agent), 0)
  let parts: OptionalParts | undefined
  const { metrics, registry } = createServerMetrics({
    agents: () => clusters.all().length,
    backends: clusters.backends,
    connections: () => sum(({ session }) => session.connectionCount()),
    dials: () => sum(({ session }) => session.dialCount()),
    bufferedBytes: () => processBudget.usedBytes,
    certificateSeconds: () =>
      certificateSeconds(
        {
          'server-cert': tlsPorts.material('frontend').cert,
          'server-ca-cert': tlsPorts.material('frontend').ca,
          'cluster-cert': tlsPorts.material('agent').cert,
          'cluster-ca-cert': tlsPorts.material('agent').ca,
          'enrolment-ca-cert': parts?.enrolment?.authority(),
          ...deps.certificates?.(),
        },
        clock.unixMs(),
      ),
    tlsAlarms: tlsPorts.alarms,
    policyAlarm: () => parts?.policyAlarm() ?? false,
  })
  createClusterMetrics(registry, clusters, (cluster) => parts?.policyOf(cluster) !== undefined)
  createRevocationMetrics(registry, 'culvert_server_', crlFiles.all)
  const standingOf = (port: Port): Standing =>
    opened.use(
      createStanding({
        port,
        trustDomain: options.trustDomain || undefined,
        authorities: () => tlsPorts.material(port).ca,
        revocations: () => crlFiles.current(port),
        clock,
        log,
        metrics,
        audit,
      }),
    )
  const standings: Record<Port, Standing> = { agent: standingOf('agent'), frontend: standingOf('frontend') }
  parts = opened.use(
    await openOptionalParts(options, {
      clock,
      log,
      registry,
      audit,
      auditOften,
      processBudget,
      clusters,
      inUse: deps.inUse,
      material: () => tlsPorts.material('agent'),
    }),
  )
  const { enrolment, kubernetes, replicas, tenants, policyOf } = parts
  const trustDomain = options.trustDomain === '' ? undefined : options.trustDomain
  const protocol = tlsProtocol(options.tlsMinVersion, options.cipherSuites)
  const common = { protocol, trustDomain, ...(tenants && { tenants }) }
  const frontDoors = openFrontDoors(options, { clock, log, metrics, auditOften })

  const { serverId, heartbeatTimeoutMs } = options
  const facts = opened.use(createFleetFacts({ serverId, heartbeatTimeoutMs, clock, tell: deps.tell }))
  if (tenants) {
    const tellKnown = (): void => facts.known(tenants.directory().clusters.map(({ id }) => id))
    tenants.onChange(tellKnown)
    tellKnown()
  }
  const arrivals = replicas && createArrivals(options.replicaSettleTimeMs, clock)
  const agents = createAgentListener(
    {
      ...common,
      material: tlsPorts.material('agent'),
      standing: standings.agent,
      enrolment: enrolment?.serve,
      handshakeTimeoutMs: options.tlsHandshakeTimeoutMs,
      handshakesPerSecond: options.handshakesPerSecond,
      streamTimeoutMs: options.agentStreamTimeoutMs,
      frontDoors: frontDoors('agent'),
      maxStreamsPerIdentity: options.maxStreamsPerIdentity,
      maxIdentifiersPerIdentity: options.maxIdentifiersPerIdentity,
      maxHeaderListBytes: options.maxHeaderListBytes,
      ...(kubernetes?.authenticate && { authenticate: kubernetes.authenticate }),
    },
    {
      options: agentStreamOptions(options),
      clock,
      log,
      metrics,
      processBudget,
      begun: createBegunMessages(Math.max(BEGUN_BYTES, options.maxMessageBytes)),
      laneTokens: createLaneTokens(clock),
      audit,
      auditOften,
      policy: policyOf,
      replicas: replicas?.list,
    },
    {
      connected(agent) {
        clusters.add(agent.cluster, agent)
        facts.joined(agent)
        agentsChanged()
        arrivals?.arrived(agent.cluster) // behind all the rest: the first dial may end it
      },
      draining(agent) {
        clusters.changed(agent.cluster, agent)
        facts.draining(agent)
      },
      refusing: (agent) => clusters.changed(agent.cluster, agent),
      refused: facts.refused,
      gone(agent, how) {
        clusters.remove(agent.cluster, agent)
        facts.left(agent, how)
        agentsChanged()
      },
    },
  )
  const plain = createDialing({
    clusters,
    arrivals,
    authorise: createJudging({ policyOf, clock, metrics }),
    clock,
    metrics,
    random: Math.random,
    dialNumber: createDialNumbers(),
    timeoutMs: options.backendDialTimeoutMs,
    maxPendingPerFrontend: options.maxPendingDialsPerFrontend,
    ...(tenants && { tenants }),
  })
  const dialing = watchDials(audit ? auditDials(plain, { audit, serverId: options.serverId, clock }) : plain, clock)
  const created = createFrontend(
    options,
    options.udsName === '' ? tlsPorts.material('frontend') : undefined,
    { ...common, standing: standings.frontend, frontDoors: frontDoors('frontend') },
    {
      dialing,
      clock,
      log,
      metrics,
      audit: audit && auditOften && auditInFull(audit, auditOften, clock),
      auditOften,
      penalty: tenants && createPenalty({ clock, log, metrics, tenants, auditOften }),
      unread: createUnreadBytes(createBudget(options.processBufferBytes, processBudget), clock.after),
    },
  )
  const tcp = watchTaken(created, clock)
  const sockets =
    tenants && deps.hasSockets
      ? opened.use(openFrontendSockets(options, tcp, { clock, log, tenants, metrics }))
      : undefined
  const frontend = sockets ? withSockets(tcp, sockets) : tcp
  frontend.server.maxConnections = options.maxFrontendConnections
  frontend.server.on('drop', (dropped) => {
    metrics.frontendDropped()
    auditOften?.(noRoom(dropped ?? {}))
  })
  for (const [port, { renew }] of Object.entries({ agent: agents, frontend }) as [
    Port,
    Pick<AgentListener, 'renew'>,
  ][]) {
    tlsPorts.renewWith(port, (material) => {
      renew(material)
      crlFiles.check()
      standings[port].look()
    })
  }
  const disposables = opened.move()
  return {
    agents,
    frontend,
    sockets,
    clusters,
    kubernetes,
    metrics,
    registry,
    lastDialMs: dialing.lastMs,
    end() {
      frontend.destroyAll()
      for (const agent of clusters.all()) agent.end('UNAVAILABLE', 'the server is shutting down', 'shutdown')
    },
    [Symbol.dispose]: () => disposables.dispose(),
  }
}
