/**
 * What the health and admin ports answer. Bodies and statuses are those of konnectivity, whose server and agent differ:
 * docs/architecture.md names the ports.
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Registry } from 'prom-client'
import { type Answer, moved, type Route, type Routes } from './endpoints.ts'

export type Check = {
  readonly name: string
  /** Why this stands in the way of being ready; undefined when it does not. */
  readonly problem: () => string | undefined
}
export type Readiness = {
  readonly checks: readonly Check[]
  /** Server: 500 and the first problem. Agent: 503 and a report of all checks. */
  readonly whenNot: 'server' | 'agent'
}
const compress = promisify(gzip)

type Metrics = Pick<Registry, 'metrics' | 'contentType'>

export function healthRoutes(readiness: Readiness, metrics: Metrics): Routes {
  const ready: Route = ({ query }) => readyAnswer(readiness, query.has('verbose'))
  return {
    '/healthz': () => ({ status: 200, body: 'ok' }),
    '/ready': ready, // deprecated, but still probed
    '/readyz': ready,
    '/metrics': metricsRoute(metrics),
  }
}

/** In gzip for who takes it, as every Prometheus does. */
export function metricsRoute(metrics: Metrics): Route {
  return async ({ acceptsGzip }) => {
    const body = await metrics.metrics()
    const headers = { 'Content-Type': metrics.contentType }
    if (!acceptsGzip) return { status: 200, body, headers }
    return { status: 200, body: await compress(body), headers: { ...headers, 'Content-Encoding': 'gzip' } }
  }
}

/** The admin port of an agent: its metrics are on the health port. @param port asked for each time, as 0 may have been bound */
export function movedMetricsRoute(port: () => number): Route {
  return ({ hostname, search }) => moved(`//${hostname}:${port()}/metrics${search}`)
}

function readyAnswer({ checks, whenNot }: Readiness, verbose: boolean): Answer {
  const results = checks.map(({ name, problem }) => ({ name, problem: problem() }))
  const problem = results.find((result) => result.problem !== undefined)?.problem
  const lines = results.map((result) =>
    result.problem === undefined ? `[+]${result.name} ok\n` : `[-]${result.name} failed: ${result.problem}\n`,
  )
  const report = `[+]ping ok\n${lines.join('')}`
  if (problem === undefined) return { status: 200, body: verbose ? `${report}check passed\n` : 'ok' }
  if (whenNot === 'agent') return { status: 503, body: report }
  return { status: 500, body: verbose ? report : problem }
}
