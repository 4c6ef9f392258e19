/** What the configuration means: its values read, and what no schema can say of it checked. Pure. */

import type { Range } from '../../platform/address-range.ts'
import { readRange } from '../../platform/address-range.ts'
import { formatDuration, parseDuration } from '../../platform/duration.ts'
import { ipBytes } from '../../platform/ip-address.ts'
import type { HealthRule } from './health.ts'
import { hostName } from './host-name.ts'
import type { ProxyVersion } from './proxy-header-out.ts'
import { type Pattern, type RouteRule, readPattern } from './routes.ts'

export type ListenRule = {
  /** Empty: all. */
  readonly address: string
  readonly port: number
  readonly proxyProtocolFrom: readonly Range[]
}
export type Target = {
  readonly host: string
  readonly port: number
  /** Where it says over HTTP whether it is ready; none: it is if it accepts a connection. */
  readonly readiness?: Readiness | undefined
}
export type Readiness = { readonly port: number; readonly path: string }
export type Route = RouteRule & {
  readonly name: string
  readonly backends: readonly Target[]
  readonly proxyProtocol: ProxyVersion
  readonly maxConnections: number
}
export type Limits = {
  readonly connections: number
  readonly pendingHellos: number
  readonly connectionsPerSource: number
  readonly pendingHellosPerSource: number
  readonly pendingDialsPerRoute: number
  readonly helloTimeoutMs: number
  readonly dialTimeoutMs: number
  readonly dialDeadlineMs: number
  /** 0: none. */
  readonly idleTimeoutMs: number
  readonly halfClosedTimeoutMs: number
}
export type RouterConfig = {
  readonly listen: readonly ListenRule[]
  readonly routes: readonly Route[]
  readonly fallback: Route | undefined
  readonly limits: Limits
  readonly health: HealthRule
}

/** The document as its schema (config/sni-router.schema.json) lets it through. */
export type Given = {
  readonly listen: readonly {
    readonly address?: string
    readonly port: number
    readonly proxyProtocolFrom?: readonly string[]
  }[]
  /** Or `default`. */
  readonly routes?: readonly GivenRoute[]
  readonly default?: GivenPool
  readonly limits?: { readonly [Key in CountLimit]?: number } & {
    readonly [Key in DurationLimit]?: string
  }
  readonly healthCheck?: {
    readonly interval?: string
    readonly timeout?: string
    readonly fall?: number
    readonly rise?: number
  }
}
export type GivenRoute = GivenPool & {
  readonly name: string
  readonly hosts: readonly string[]
  readonly alpn?: readonly string[]
}
type GivenPool = {
  readonly backends: readonly string[]
  readonly readiness?: { readonly port: number; readonly path?: string }
  readonly proxyProtocol?: ProxyVersion
  readonly maxConnections?: number
}
type CountLimit =
  | 'connections'
  | 'pendingHellos'
  | 'connectionsPerSource'
  | 'pendingHellosPerSource'
  | 'pendingDialsPerRoute'
type DurationLimit = 'helloTimeout' | 'dialTimeout' | 'dialDeadline' | 'idleTimeout' | 'halfClosedTimeout'

/** Where in the document, as a JSON pointer, and what is wrong there. */
export type Problem = { readonly at: string; readonly what: string }

const CONNECTIONS = 20_000
const PENDING_HELLOS = 1_000
const READINESS_PATH = '/readyz'
const PENDING_DIALS_PER_ROUTE = 1_000
/** What one route may have where there are several, and one source: nobody takes it all by default. */
const ROUTE_SHARE = 1 / 2
const SOURCE_SHARE = 1 / 4
/** The name that the default route has in metrics and logs. */
export const DEFAULT_ROUTE = 'default'
const MAX_TIMER_MS = 2_147_483_647

export function readConfig(given: Given): { readonly config: RouterConfig; readonly problems: readonly Problem[] } {
  const problems: Problem[] = []
  const wrong = (at: string, expected: string, got: string): void => {
    problems.push({ at, what: `expected ${expected}, got ${JSON.stringify(got)}` })
  }
  function each<T>(items: readonly string[], at: string, expected: string, read: (text: string) => T | undefined): T[] {
    return items.flatMap((text, index) => {
      const value = read(text)
      if (value !== undefined) return [value]
      wrong(`${at}/${index}`, expected, text)
      return []
    })
  }
  function duration(text: string | undefined, at: string, standardMs: number, leastMs = 1): number {
    const ms = text === undefined ? standardMs : parseDuration(text)
    if (ms !== undefined && ms >= leastMs && ms <= MAX_TIMER_MS) return ms
    const least = leastMs > 0 ? `, at least ${formatDuration(leastMs)}` : ''
    wrong(at, `a duration such as 250ms, 10s or 5m${least}`, text ?? '')
    return standardMs
  }
  const limits = given.limits ?? {}
  const { connections = CONNECTIONS, pendingHellos = PENDING_HELLOS } = limits
  const givenRoutes = given.routes ?? []
  const isAlone = givenRoutes.length + (given.default ? 1 : 0) < 2
  const standardOfRoute = isAlone ? Number.POSITIVE_INFINITY : Math.ceil(connections * ROUTE_SHARE)
  const pool = ({ backends, readiness, proxyProtocol = 'none', maxConnections }: GivenPool, at: string) => {
    const targets = each(backends, `${at}/backends`, 'host:port, an IPv6 address in brackets', readTarget)
    const names = targets.map(targetText)
    const twice = names.findIndex((name, index) => names.indexOf(name) < index)
    if (twice >= 0) problems.push({ at: `${at}/backends/${twice}`, what: `${names[twice]} is there twice: remove one` })
    const asked = readiness && { port: readiness.port, path: readiness.path ?? READINESS_PATH }
    return {
      backends: asked ? targets.map((target) => ({ ...target, readiness: asked })) : targets,
      ...{ proxyProtocol, maxConnections: maxConnections ?? standardOfRoute },
    }
  }

  const listen = given.listen.map(({ address = '', port, proxyProtocolFrom = [] }, index) => {
    const at = `/listen/${index}`
    if (address !== '' && ipBytes(address) === undefined) wrong(`${at}/address`, 'an IP address', address)
    const range = 'an address or a range such as 10.0.0.0/8, without bits behind its prefix'
    return { address, port, proxyProtocolFrom: each(proxyProtocolFrom, `${at}/proxyProtocolFrom`, range, readRange) }
  })
  const routes = givenRoutes.map((route, index): Route => {
    const at = `/routes/${index}`
    const hosts = each(route.hosts, `${at}/hosts`, 'a name, or one that begins with "*."', readPattern)
    return { name: route.name, hosts, alpn: route.alpn ?? [], ...pool(route, at) }
  })
  const limit = (key: DurationLimit, standardMs: number, leastMs?: number): number =>
    duration(limits[key], `/limits/${key}`, standardMs, leastMs)
  const helloTimeoutMs = limit('helloTimeout', 5_000)
  const dialTimeoutMs = limit('dialTimeout', 3_000)
  const dialDeadlineMs = limit('dialDeadline', 10_000)
  if (dialTimeoutMs > dialDeadlineMs) {
    const most = `${formatDuration(dialDeadlineMs)}, the dialDeadline`
    problems.push({ at: '/limits/dialTimeout', what: `expected at most ${most}, got ${formatDuration(dialTimeoutMs)}` })
  }
  const check = given.healthCheck ?? {}
  const config: RouterConfig = {
    listen,
    routes,
    fallback: given.default && { name: DEFAULT_ROUTE, hosts: [], alpn: [], ...pool(given.default, '/default') },
    limits: {
      connections,
      pendingHellos,
      connectionsPerSource: limits.connectionsPerSource ?? Math.ceil(connections * SOURCE_SHARE),
      pendingHellosPerSource: limits.pendingHellosPerSource ?? Math.ceil(pendingHellos * SOURCE_SHARE),
      pendingDialsPerRoute: limits.pendingDialsPerRoute ?? PENDING_DIALS_PER_ROUTE,
      helloTimeoutMs,
      dialTimeoutMs,
      dialDeadlineMs,
      idleTimeoutMs: limit('idleTimeout', 0, 0),
      halfClosedTimeoutMs: limit('halfClosedTimeout', 600_000),
    },
    health: {
      intervalMs: duration(check.interval, '/healthCheck/interval', 5_000, 100),
      timeoutMs: duration(check.timeout, '/healthCheck/timeout', 2_000),
      fall: check.fall ?? 2,
      rise: check.rise ?? 1,
    },
  }
  problems.push(...sharedPorts(listen), ...clashes(routes))
  return { config, problems }
}

/** "host:port", "[::1]:port". */
function readTarget(text: string): Target | undefined {
  const [, bracketed, plain, port = ''] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  if (Number(port) < 1 || Number(port) > 65_535) return undefined
  if (bracketed !== undefined) {
    return bracketed.includes(':') && ipBytes(bracketed) ? { host: bracketed, port: Number(port) } : undefined
  }
  if (plain !== undefined && ipBytes(plain)) return { host: plain, port: Number(port) }
  const host = hostName(plain ?? '')
  const looksLikeAddress = /^[\d.]+$/.test(host ?? '') // such as 10.0.0.256, which nobody means as a name
  return host === undefined || looksLikeAddress ? undefined : { host, port: Number(port) }
}

export const targetText = ({ host, port }: Target): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** What an operator should know of a configuration that is accepted. */
export function configWarnings({ routes, fallback }: RouterConfig): readonly string[] {
  return routes.length === 0 && fallback === undefined ? ['there is no route and no default: everybody is refused'] : []
}

/** Two that would listen at one address and port; of port 0 each gets its own. */
function sharedPorts(listen: readonly ListenRule[]): Problem[] {
  const first = new Map<string, number>()
  return listen.flatMap(({ address, port }, index) => {
    const place = `${address === '' || address === '0.0.0.0' ? ipBytes('::') : (ipBytes(address) ?? address)} ${port}` // :: is for both
    const other = first.get(place)
    if (other === undefined || port === 0) {
      first.set(place, index)
      return []
    }
    return [{ at: `/listen/${index}`, what: `is the address and port of listen[${other}]: leave one of them out` }]
  })
}

/** Two routes of one name, and two that the same hello could take. */
function clashes(routes: readonly Route[]): Problem[] {
  const problems: Problem[] = []
  const names = new Set([DEFAULT_ROUTE])
  const taken = new Map<string, string>()
  for (const [index, { name, hosts, alpn }] of routes.entries()) {
    if (names.has(name)) {
      const what = name === DEFAULT_ROUTE ? 'is the name of the default route' : 'is the name of another route'
      problems.push({ at: `/routes/${index}/name`, what: `${JSON.stringify(name)} ${what}: choose another` })
    }
    names.add(name)
    for (const [at, host] of hosts.entries()) {
      for (const protocol of alpn.length === 0 ? [''] : alpn) {
        const key = JSON.stringify([host, protocol])
        const other = taken.get(key)
        if (other !== undefined) {
          const condition = protocol === '' ? 'for any protocol' : `for the protocol ${JSON.stringify(protocol)}`
          const what = `${patternText(host)} ${condition} is in route ${JSON.stringify(other)} already`
          problems.push({ at: `/routes/${index}/hosts/${at}`, what: `${what}: leave it to one, or set alpn` })
        }
        taken.set(key, name)
      }
    }
  }
  return problems
}

const patternText = ({ kind, name }: Pattern): string => (kind === 'wildcard' ? `*.${name}` : name)
