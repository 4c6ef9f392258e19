/** Wires sni-router together: its configuration, its ports, health and metrics, reloads, drain. Decisions live in `core/`. */
import { createServer, type Server } from 'node:net'
import { createAuditMetrics, openAudit } from '../audit/open-audit.ts'
import { type Clock, elapsed } from '../platform/clock.ts'
import { createEndpoints } from '../platform/endpoints.ts'
import { healthRoutes } from '../platform/health.ts'
import { keepAlive } from '../platform/keep-alive.ts'
import { listen } from '../platform/listen.ts'
import type { Log } from '../platform/log.ts'
import { writePortsFile } from '../platform/ports-file.ts'
import { aborted, type Shutdown } from '../platform/shutdown.ts'
import { auditClients } from './audited.ts'
import { createBackends } from './backends.ts'
import { watchConfig } from './config-file.ts'
import { systemConnect } from './connecting.ts'
import { configWarnings, type ListenRule, type RouterConfig } from './core/config.ts'
import { createRouterMetrics } from './metrics.ts'
import { createNames } from './names.ts'
import type { RouterOptions } from './options.ts'
import { createRouter, type Router } from './router.ts'

/** Connections that the kernel keeps for us until they are accepted. */
const BACKLOG = 4_096
/** At the end, for those that are cut to be closed, so that the audit log has their ends: milliseconds. */
const FAREWELL_MS = 1_000

export type RouterRunDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly shutdown: Shutdown
  /** Called with what should be done when somebody asks for a reload: it looks at the file at once. */
  readonly onReload: (reload: () => void) => void
}

/**
 * Serves until the first signal, then drains until nobody is left or its time is up.
 *
 * @throws TunnelError `bad-option` with every mistake in the configuration or the ports, one per line
 */
export async function runRouter(
  options: RouterOptions,
  { clock, log, shutdown, onReload }: RouterRunDeps,
): Promise<void> {
  const warnOf = (config: RouterConfig): void => {
    for (const reason of configWarnings(config)) log.warn({ reason }, 'configuration is used, and may not be meant so')
  }
  await using audit = openAudit(options.auditLogFile, { clock, log, program: 'sni-router' })
  using config = watchConfig(options.config, clock, {
    changed(next) {
      router.apply(next)
      metrics.reloaded()
      log.info({ routes: next.routes.length }, 'configuration changed, new connections use it')
      warnOf(next)
    },
    broken: (error) => log.error({ reason: error.message }, 'configuration is broken, the one before stays in use'),
    mended: () => log.info({}, 'configuration is good again'),
  })
  const { metrics, registry } = createRouterMetrics({
    clients: () => router.count(),
    tallies: () => router.tallies(),
    backends: () => router.backendStates(),
    configAlarm: () => config.alarm() !== undefined,
  })
  createAuditMetrics(registry, 'culvert_router_', audit)
  onReload(() => {
    config.reload()
    audit?.reopen()
  })
  using backends = createBackends({
    ...{ clock, log, watchName: createNames(clock), connect: systemConnect },
    random: Math.random,
  })
  using router = createRouter(config.current(), {
    ...{ clock, log, metrics, backends, connect: systemConnect },
    audit: audit && auditClients(audit.record, clock),
  })

  let isListening = false
  const readiness = {
    whenNot: 'agent' as const,
    checks: [
      {
        name: 'listening',
        problem: () => {
          if (shutdown.drain.aborted) return 'draining'
          return isListening ? undefined : 'not yet'
        },
      },
    ],
  }
  const health = createEndpoints(healthRoutes(readiness, registry), metrics.badProbe)
  const servers: Server[] = []
  try {
    const healthPort = await listen(health, {
      flag: '--health-port',
      host: options.healthBindAddress,
      port: options.healthPort,
    })
    const ports: Record<string, number> = { health: healthPort }
    for (const [index, rule] of config.current().listen.entries()) {
      const server = openServer(router, index)
      servers.push(server)
      ports[index === 0 ? 'listen' : `listen-${index}`] = await listenBy(server, rule, index)
    }
    isListening = true
    audit?.begin()
    using _portsFile = options.portsFile === '' ? undefined : writePortsFile(options.portsFile, ports)
    log.info({ ...ports, routes: config.current().routes.length }, 'serving')
    warnOf(config.current())
    await aborted(shutdown.drain)
    for (const server of servers) server.close()
    log.info(
      { signal: shutdown.drain.reason, open: router.count(), timeout_ms: options.drainTimeoutMs },
      'shutting down',
    )
    await Promise.race([router.drain(), elapsed(clock, options.drainTimeoutMs), aborted(shutdown.now)])
  } finally {
    for (const server of servers) server.close()
    health.close()
    health.closeAllConnections()
    router[Symbol.dispose]()
    await Promise.race([router.drain(), elapsed(clock, FAREWELL_MS)])
  }
  log.info({}, 'stopped')
}

function openServer(router: Router, index: number): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    keepAlive(socket)
    router.take(socket, index)
  })
}

const listenBy = (server: Server, { address, port }: ListenRule, index: number): Promise<number> =>
  listen(server, { flag: `listen[${index}]`, host: address, port, backlog: BACKLOG })
