/**
 * One of several workers of a server: the data path and nothing else. It listens nowhere and heeds no signal; the process that
 * started it hands connections over and says when to end. Without that process it ends at once.
 */
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Routes } from '../platform/endpoints.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { openProfiling } from '../platform/profiling-open.ts'
import { aborted } from '../platform/shutdown.ts'
import { createAuditReports } from './audit-reports.ts'
import { drain } from './draining.ts'
import { fleetRoute } from './fleet.ts'
import type { ServerOptions } from './options.ts'
import { openServing, type Serving } from './serving.ts'
import { FIGURES_PATH, type Figures, type Orders } from './worker-messages.ts'
import { type Obeyed, obey } from './worker-orders.ts'

/** How often it says how it is: milliseconds. */
const REPORT_MS = 1_000
/** Lets the last frames and statuses leave before the process ends: milliseconds. */
const FAREWELL_MS = 100

export type WorkerDeps = {
  readonly clock: Clock
  readonly orders: Orders
  /** The log of a worker with these options, in that slot. */
  readonly openLog: (options: ServerOptions, slot: number) => Log
  /** Ends the process. */
  readonly exit: (code: 0 | 1) => void
}

export async function runWorker({ clock, orders, openLog, exit }: WorkerDeps): Promise<void> {
  orders.onLost(() => exit(1))
  const obeyed = obey(orders)
  const { options, slot, inUse } = await obeyed.started
  const log = openLog(options, slot)
  try {
    const audit: Audit | undefined = options.auditLogFile === '' ? undefined : createAuditReports(orders) // one process has the file
    using serving = await openServing(options, {
      clock,
      log,
      audit,
      tell: (fact) => orders.report({ is: 'fleet', fact }),
      agentsChanged: () => reportState(),
      hasSockets: false,
      inUse,
    })
    const reportState = (): void => {
      const { clusters } = serving
      orders.report({ is: 'state', ready: clusters.ready(), clusters: clusters.names().length })
    }
    using profiling = await openProfiling(options, clock, obeyed.shutdown.drain)
    const lastTakenMs = serveWhoIsHandedOver(options, clock, serving, obeyed, profiling?.routes ?? {})
    const reports = setInterval(reportState, REPORT_MS)
    orders.report({ is: 'up' })
    log.info({ server_id: options.serverId }, 'worker serving')
    await aborted(obeyed.shutdown.drain)
    await leave(options, { clock, log, orders, obeyed }, serving, lastTakenMs)
    clearInterval(reports)
    log.info({}, 'worker stopped')
    const last = await figuresOf(serving)
    orders.report({ is: 'left', figures: last }, () => exit(0))
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    orders.report({ is: 'refused', problems: error.message }, () => exit(1))
  }
}

/** @returns when somebody was handed over last */
function serveWhoIsHandedOver(
  options: ServerOptions,
  clock: Clock,
  serving: Serving,
  { serveBy }: Obeyed,
  profiles: Routes,
): () => number {
  const { agents, frontend, metrics } = serving
  const routes: Routes = {
    '/v1/clusters': fleetRoute(serving.clusters),
    [FIGURES_PATH]: async () => ({ status: 200, body: JSON.stringify(await figuresOf(serving)) }),
    ...profiles,
  }
  const readsOn = options.mode === 'http-connect'
  let lastTakenMs = Number.NEGATIVE_INFINITY
  serveBy({
    take(connection, port, entrance) {
      lastTakenMs = clock.now()
      if (port === 'agent') return agents.take(connection)
      if (frontend.count() >= options.maxFrontendConnections) {
        metrics.frontendDropped()
        return void connection.destroy()
      }
      // As those that the frontend's own server would accept, on a Unix socket.
      connection.allowHalfOpen = readsOn && (options.udsName !== '' || entrance !== undefined)
      if (entrance) frontend.take(connection, entrance)
      else frontend.server.emit('connection', connection)
    },
    answer: async (asked) => (await routes[asked.path]?.(asked)) ?? { status: 404, body: '404 page not found\n' },
  })
  return () => lastTakenMs
}

type Leaving = Pick<WorkerDeps, 'clock' | 'orders'> & { readonly log: Log; readonly obeyed: Obeyed }

async function leave(
  options: ServerOptions,
  { clock, log, orders, obeyed }: Leaving,
  serving: Serving,
  lastTakenMs: () => number,
): Promise<void> {
  const { shutdown, dismissed } = obeyed
  const times = { timeoutMs: options.gracefulShutdownTimeoutMs, quietMs: options.shutdownQuietTimeMs }
  await drain(
    times,
    { clock, log, shutdown },
    {
      agents: serving.agents,
      agentPort: undefined,
      connected: serving.clusters.all,
      frontend: serving.frontend,
      lastDialMs: () => Math.max(serving.lastDialMs(), lastTakenMs()),
      async turnAway() {
        orders.report({ is: 'quiet' })
        await Promise.race([aborted(dismissed), aborted(shutdown.now)])
      },
    },
  )
  serving.end()
  await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))
}

const figuresOf = async ({ registry }: Serving): Promise<Figures> => registry.getMetricsAsJSON()
