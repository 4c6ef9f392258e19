/**
 * All clients, and the configuration that is in use: what a reload exchanges as a whole. Connections that stand keep what they
 * have; who comes next meets the new one.
 */
import type { Socket } from 'node:net'
import { isWithin } from '../platform/address-range.ts'
import type { Clock } from '../platform/clock.ts'
import { sourceOf } from '../platform/ip-address.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { reset } from '../tunnel/endpoint.ts'
import type { ClientAudit } from './audited.ts'
import type { Backends } from './backends.ts'
import { type Client, type ClientDeps, serveClient } from './client.ts'
import type { Connect } from './connecting.ts'
import type { Route, RouterConfig } from './core/config.ts'
import { routeTable } from './core/routes.ts'
import { createGroups } from './core/sources.ts'
import { newTally, type RouterMetrics, type RouteTally } from './metrics.ts'

/** Between two looks at whether clients and backends are still there: milliseconds. */
const LOOK_MS = 2_000
/** Backends of which a repeated failure is remembered, so that it is told once a minute. */
const MAX_WARNED = 1_000

/** Disposing hangs up on everybody. */
export type Router = Disposable & {
  readonly apply: (config: RouterConfig) => void
  /** Takes an accepted connection. @param listener the index of its entry in `listen` */
  readonly take: (socket: Socket, listener: number) => void
  readonly count: () => number
  readonly tallies: () => ReadonlyMap<string, RouteTally>
  readonly backendStates: () => { readonly route: string; readonly up: number; readonly down: number }[]
  /** Cuts those whose ClientHello has not come; who is dialled for or joined may finish. Resolves when nobody is left. */
  readonly drain: () => Promise<void>
}
export type RouterDeps = {
  readonly audit?: ClientAudit | undefined
  readonly clock: Clock
  readonly log: Log
  readonly metrics: RouterMetrics
  readonly backends: Backends
  readonly connect: Connect
}

export function createRouter(first: RouterConfig, deps: RouterDeps): Router {
  const { clock, log, metrics, backends } = deps
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const clients = new Set<Client>()
  const bySource = createGroups<Client>() // whose source is known, a PROXY header read where there is one
  const undecided = createGroups<Client>()
  let config = first
  let choose = routeTable(first.routes, first.fallback)
  let tallies = new Map<string, RouteTally>()
  let timer: Disposable
  let empty = (): void => {}
  let isDraining = false

  const clientDeps: ClientDeps = {
    ...deps,
    limits: () => config.limits,
    choose: (hello) => choose(hello),
    tally: (route) => tallies.get(route.name)!,
    missed(route, member, why, error) {
      const fields = { route: route.name, backend: member.shown, why, err: error }
      warnings.warn(`${route.name} ${member.shown}`, fields, 'backend did not accept a connection', why)
    },
    limited,
    sourced,
    decided: (client) => undecided.delete(client),
    closed(client) {
      clients.delete(client)
      bySource.delete(client)
      if (clients.size === 0) empty()
    },
  }

  function limited(what: string, limit: number): void {
    warnings.warn(what, { what, limit }, 'a limit is reached: clients are refused')
  }

  function sourced(client: Client, ip: string): boolean {
    const { connectionsPerSource, pendingHellosPerSource } = config.limits
    const source = sourceOf(ip)
    if (bySource.sizeOf(source) >= connectionsPerSource) {
      limited('connectionsPerSource', connectionsPerSource)
      return false
    }
    bySource.add(client, source)
    undecided.add(client, source)
    if (undecided.sizeOf(source) > pendingHellosPerSource) {
      limited('pendingHellosPerSource', pendingHellosPerSource)
      undecided.oldestOf(source)?.cut('crowded', 'shutdown')
    }
    return true
  }

  function apply(next: RouterConfig): void {
    const all = routesOf(next)
    config = next
    choose = routeTable(next.routes, next.fallback)
    const stay = [...tallies].filter(([, { open }]) => open > 0) // a route may come back while connections of it stand
    tallies = new Map([...stay, ...all.map(({ name }) => [name, tallies.get(name) ?? newTally()] as const)])
    backends.use(
      all.flatMap((route) => route.backends),
      next.health,
    )
  }

  function look(): void {
    const nowMs = clock.now()
    for (const client of clients) client.look(nowMs, config.limits)
    lookLater()
  }

  function lookLater(): void {
    const { idleTimeoutMs, halfClosedTimeoutMs } = config.limits
    const soonest = Math.min(halfClosedTimeoutMs, idleTimeoutMs || Number.POSITIVE_INFINITY)
    timer = clock.after(Math.min(LOOK_MS, Math.max(soonest / 4, 10)), look)
  }

  apply(first)
  lookLater()
  return {
    apply,
    take(socket, listener) {
      metrics.accepted()
      if (isDraining || clients.size >= config.limits.connections) {
        const why = isDraining ? 'shutdown' : 'full'
        const { remoteAddress: ip = '', remotePort: port = 0 } = socket
        metrics.refused(why)
        deps.audit?.refused(why, { ip, port }, undefined)
        if (!isDraining) limited('connections', config.limits.connections)
        socket.on('error', () => undefined)
        return reset(socket)
      }
      const { remoteAddress: ip = '' } = socket
      const expectsHeader = isWithin(ip, config.listen[listener]?.proxyProtocolFrom ?? [])
      const client = serveClient(socket, expectsHeader, clientDeps)
      clients.add(client)
      undecided.add(client, sourceOf(ip))
      if (!expectsHeader && !sourced(client, ip)) return client.cut('source-full', 'shutdown')
      if (undecided.size() <= config.limits.pendingHellos) return
      limited('pendingHellos', config.limits.pendingHellos)
      undecided.oldestOfLargest()?.cut('crowded', 'shutdown')
    },
    count: () => clients.size,
    tallies: () => tallies,
    backendStates: () =>
      routesOf(config).map((route) => {
        const members = backends.members(route.backends)
        const up = members.filter(({ health }) => health.state === 'up').length
        return { route: route.name, up, down: members.length - up }
      }),
    drain() {
      isDraining = true
      for (const client of undecided.all()) client.cut('shutdown', 'shutdown')
      return new Promise((resolve) => {
        empty = resolve
        if (clients.size === 0) resolve()
      })
    },
    [Symbol.dispose]() {
      timer[Symbol.dispose]()
      for (const client of clients) client.cut('shutdown', 'shutdown')
    },
  }
}

const routesOf = ({ routes, fallback }: RouterConfig): Route[] => [...routes, ...(fallback ? [fallback] : [])]
