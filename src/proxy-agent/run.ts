/** Wires proxy-agent together: the servers it holds, health, metrics, reloads, drain. Decisions live in `core/`. */
import { createAuditMetrics, openAudit } from '../audit/open-audit.ts'
import { createRevocationMetrics } from '../pki/revocation-metrics.ts'
import { certificateSeconds } from '../platform/certificate-expiry.ts'
import { tlsProtocol } from '../platform/cipher-suites.ts'
import { type Clock, elapsed } from '../platform/clock.ts'
import { createEndpoints } from '../platform/endpoints.ts'
import { movedMetricsRoute } from '../platform/health.ts'
import { listen } from '../platform/listen.ts'
import { localNames } from '../platform/local-names.ts'
import type { Log } from '../platform/log.ts'
import { writePortsFile } from '../platform/ports-file.ts'
import { openProfiling } from '../platform/profiling-open.ts'
import { readServerAddress, type ServerAddress } from '../platform/server-address.ts'
import { aborted, type Shutdown } from '../platform/shutdown.ts'
import type { TlsWatch } from '../platform/tls-files.ts'
import type { Watch } from '../platform/watched.ts'
import { type AddressRange, readRange } from '../policy/core/address.ts'
import { createBudget } from '../tunnel/budget.ts'
import { PAUSE_SHARE } from '../tunnel/stock-backlog.ts'
import { watchAgentCrl, watchAgentTls, watchPolicy } from './agent-files.ts'
import { ownCluster } from './audit-identity.ts'
import { hostPort } from './core/go-errors.ts'
import { createReplicaLists, type Place } from './core/replica-lists.ts'
import { serverCount } from './core/server-count.ts'
import { createServerSet } from './core/server-set.ts'
import { systemNetwork } from './dialer.ts'
import type { Hub } from './enrolment.ts'
import { createHealthReport } from './health.ts'
import { type HealthPort, openHealthPort } from './health-port.ts'
import { joinHub } from './join.ts'
import { openLeaseCount } from './kubernetes.ts'
import { createLeaseMetrics } from './kubernetes-metrics.ts'
import { openLink } from './link.ts'
import type { Link, LinkDeps, LinkOptions } from './link-owner.ts'
import { createLookups, shuffledLookup } from './lookups.ts'
import { createAgentMetrics } from './metrics.ts'
import { createOpenSockets } from './open-sockets.ts'
import type { AgentOptions } from './options.ts'
import { startRenewal } from './renewal.ts'
import { createRenewalMetrics } from './renewal-metrics.ts'
import { createServerKeeper } from './server-keeper.ts'
import { createServerStanding } from './server-standing.ts'
import { watchTokenFile } from './token-file.ts'

/** The server's own limits come first; these keep a server that has none from exhausting us. */
const LIMITS = { pendingDials: 10_000, connections: 100_000, unknownFramesPerMinute: 1_000 }
/** Lets the last frames leave before the process ends: milliseconds. */
const FAREWELL_MS = 100

export type AgentDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly shutdown: Shutdown
  /** Calls that at each SIGHUP, which without anybody who asks for it is what it always was. */
  readonly onHangup: (act: () => void) => Disposable
  readonly version: string
}

/**
 * Serves until the first signal, then drains until nothing is left or its time is up.
 *
 * @throws TunnelError `bad-option` with every mistake in files or ports, one per line
 */
export async function runAgent(options: AgentOptions, deps: AgentDeps): Promise<void> {
  const { clock, log, shutdown } = deps
  await using audit = openAudit(options.auditLogFile, { clock, log, program: 'proxy-agent' })
  using _hangup = audit && deps.onHangup(audit.reopen)
  const lookups = createLookups()
  const hubs = options.joinTokenFile === '' ? [] : hubsOf(options, lookups, shutdown.drain)
  const files = { cert: options.agentCert, key: options.agentKey }
  using opened = new DisposableStack()
  let health: HealthPort | undefined
  if (hubs.length > 0) {
    health = opened.use(await openHealthPort(options)) // a hub may be long away, and whoever looks after us must see us live
    audit?.begin()
    log.info({ health: health.port }, 'health port is open')
    const joining = { clock, log, random: Math.random, signal: shutdown.drain }
    await joinHub({ tokenFile: options.joinTokenFile, caFile: options.caCert, files, hubs }, joining)
    if (shutdown.drain.aborted) return
  }
  using tls = watchAgentTls(options, clock, log, () => {
    for (const link of servers.all()) link.showCertificate()
  })
  using crl = watchAgentCrl(options, {
    clock,
    log,
    authorities: () => tls.current().ca,
  })
  using standing = crl && createServerStanding({ authorities: () => tls.current().ca, revocations: crl.current, clock })
  using token = watchTokenFile(options.serviceAccountTokenPath, {
    clock,
    log,
    changed() {
      for (const link of servers.all()) link.showToken()
    },
  })
  using policy = watchPolicy(options, clock, log)
  const startMs = clock.now()
  const addresses = serverAddresses(options)
  const servers = createServerSet<Link>({
    hosts: addresses.length,
    baseMs: options.syncIntervalMs,
    capMs: options.syncIntervalCapMs,
    forever: options.syncForever,
    wantedCount: serverCount(
      options.serverCountSource,
      options.countServerLeases ? () => leases?.count() ?? 1 : undefined,
    ),
  })
  const processBudget = createBudget(options.processBufferBytes)
  const connections = (): number =>
    servers.all().reduce((sum, link) => sum + (link.session()?.connectionCount() ?? 0), 0)
  const expiry = (): Record<string, number> =>
    certificateSeconds({ 'agent-cert': tls.current().cert, 'ca-cert': tls.current().ca }, clock.unixMs())
  const { metrics, registry } = createAgentMetrics({
    servers: () => servers.all().length,
    knownServers: servers.knownCount,
    connections,
    bufferedBytes: () => processBudget.usedBytes,
    certificateSeconds: expiry,
    tlsAlarm: () => tls.alarm() !== undefined,
    policyAlarm: () => policy?.alarm() !== undefined,
  })
  createAuditMetrics(registry, 'culvert_agent_', audit)
  if (crl) createRevocationMetrics(registry, 'culvert_agent_', [crl])
  using _renewal =
    hubs.length === 0
      ? undefined
      : startRenewal(hubs, files, { clock, log, random: Math.random, tls, metrics: createRenewalMetrics(registry) })
  using leases = await openLeaseCount(options, {
    clock,
    log,
    version: deps.version,
    metrics: createLeaseMetrics(registry),
  })
  using report = createHealthReport({
    version: deps.version,
    uptimeMs: () => clock.now() - startMs,
    connections,
    bytes: metrics.bytes,
    certificateSeconds: () => expiry()['agent-cert'],
    policyVersion: () => policy?.current().version,
  })
  const sockets = createOpenSockets()
  const cluster = ownCluster(() => tls.current().cert)
  const linkDeps: LinkDeps = {
    clock,
    log,
    metrics,
    processBudget,
    sockets,
    standing,
    network: systemNetwork(lookups),
    policy: () => policy?.current(),
    random: Math.random,
    audit: audit && ((record) => audit.record({ ...record, cluster: cluster(), agent: options.agentId })),
    health: ({ roundTripMs }) => report.read(roundTripMs),
  }
  const keeper = createServerKeeper({
    servers,
    lists: createReplicaLists<Link>({ hosts: addresses, follows: options.followReplicaAddresses }),
    hosts: addresses.map(({ host, port }) => hostPort(host, port)),
    clock,
    log,
    random: Math.random,
    metrics,
    open: (host, events, place) =>
      openLink(
        linkOptions(options, place ?? { address: addresses[host]! }, deps.version, { tls, token }),
        linkDeps,
        events,
      ),
  })

  const readiness = {
    whenNot: 'agent' as const,
    checks: [
      {
        name: 'server-connected',
        problem: () => {
          if (shutdown.drain.aborted) return 'draining'
          return servers.all().length > 0 ? undefined : 'no servers connected'
        },
      },
    ],
  }
  using profiling = await openProfiling(options, clock, shutdown.drain)
  const admin = createEndpoints(
    { '/metrics': movedMetricsRoute(() => health?.port ?? 0), ...profiling?.routes },
    metrics.badProbe,
    { mayBeCalled: localNames(options.adminBindAddress) },
  )
  try {
    health ??= opened.use(await openHealthPort(options))
    health.serve(readiness, registry, metrics.badProbe)
    const adminPort = await listen(admin, {
      flag: '--admin-server-port',
      host: options.adminBindAddress,
      port: options.adminServerPort,
    })
    audit?.begin()
    const ports = { health: health.port, admin: adminPort }
    using _portsFile = options.portsFile === '' ? undefined : writePortsFile(options.portsFile, ports)
    log.info({ ...ports, agent_id: options.agentId }, 'running')
    keeper.start()
    await aborted(shutdown.drain)
    log.info({ signal: shutdown.drain.reason, open: connections(), timeout_ms: options.drainTimeoutMs }, 'draining')
    const drained = keeper.drain().then(sockets.whenEmpty)
    await Promise.race([drained, elapsed(clock, options.drainTimeoutMs), aborted(shutdown.now)])
  } finally {
    keeper.stop()
    health?.[Symbol.dispose]()
    admin.close()
    admin.closeAllConnections()
  }
  await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))
  log.info({}, 'stopped')
}

function hubsOf(options: AgentOptions, lookups: ReturnType<typeof createLookups>, signal: AbortSignal): Hub[] {
  const lookup = shuffledLookup(lookups, Math.random, signal)
  const protocol = tlsProtocol(options.tlsMinVersion, options.cipherSuites)
  return serverAddresses(options).map((address) => ({ ...address, protocol, alpn: options.alpnProto, lookup }))
}

/** Each once. */
function serverAddresses({ proxyServerHost, proxyServerPort }: AgentOptions): ServerAddress[] {
  const addresses = proxyServerHost.flatMap((given) => readServerAddress(given, proxyServerPort) ?? [])
  return [
    ...new Map(addresses.map((address) => [hostPort(address.host.toLowerCase(), address.port), address])).values(),
  ]
}

function linkOptions(
  options: AgentOptions,
  { address, serverName }: Pick<Place, 'address'> & Partial<Pick<Place, 'serverName'>>,
  version: string,
  { tls, token }: { readonly tls: TlsWatch; readonly token: Watch<string> | undefined },
): LinkOptions {
  return {
    ...address,
    serverName,
    material: tls.current,
    protocol: tlsProtocol(options.tlsMinVersion, options.cipherSuites),
    alpn: options.alpnProto,
    tokenFile: options.serviceAccountTokenPath,
    currentToken: token?.current ?? (() => ''),
    agentId: options.agentId,
    identifiers: options.agentIdentifiers,
    userAgent: `culvert-proxy-agent/${version}`,
    maxMessageBytes: options.maxMessageBytes,
    heartbeatIntervalMs: options.heartbeatIntervalMs,
    heartbeatTimeoutMs: options.heartbeatTimeoutMs,
    probeIntervalMs: options.probeIntervalMs,
    drainQuietMs: options.drainQuietTimeMs,
    dialTimeoutMs: options.endpointDialTimeoutMs,
    hubRanges: options.hubRanges.flatMap((text) => readRange(text) as AddressRange),
    streamBufferBytes: options.streamBufferBytes,
    lanes: options.lanes,
    limits: {
      ...LIMITS,
      stock: {
        connectionBytes: options.connectionBufferBytes,
        streamBytes: options.streamBufferBytes * PAUSE_SHARE,
        slowBytes: options.slowConsumerBytes,
        slowMs: options.slowConsumerTimeMs,
      },
    },
  }
}
