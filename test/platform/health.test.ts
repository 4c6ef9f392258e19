import { gunzipSync } from 'node:zlib'
import { Counter, Registry } from 'prom-client'
import t from 'tap'
import type { Answer, Routes } from '../../src/platform/endpoints.ts'
import { healthRoutes, metricsRoute, movedMetricsRoute, type Readiness } from '../../src/platform/health.ts'
import { asked } from './asked.ts'

const registry = new Registry()
new Counter({ name: 'events_total', help: 'Events.', registers: [registry] }).inc()

const ask = async (routes: Routes, path: string, query = ''): Promise<Answer> =>
  (await routes[path]?.(asked({ search: query, hostname: '[::1]' }))) ?? {
    status: 0,
    body: 'no such route',
  }

/** The routes of a program whose one check says what `problem` says. */
const server = (problem: string | undefined, more: string | undefined = undefined) => {
  const checks = [
    { name: 'agent-connected', problem: () => problem },
    { name: 'serving', problem: () => more },
  ]
  return healthRoutes({ checks, whenNot: 'server' } satisfies Readiness, registry)
}
const agent = (problem: string | undefined) =>
  healthRoutes({ checks: [{ name: 'server-connected', problem: () => problem }], whenNot: 'agent' }, registry)

t.test('is healthy as long as it answers', async (t) => {
  t.strictSame(await ask(server('x'), '/healthz'), { status: 200, body: 'ok' })
  t.strictSame(await ask(agent('x'), '/healthz'), { status: 200, body: 'ok' })
})

t.test('a server says ok, or 500 and the reason', async (t) => {
  const text = 'no connection to any proxy agent'
  for (const path of ['/ready', '/readyz']) {
    t.strictSame(await ask(server(undefined), path), { status: 200, body: 'ok' })
    t.strictSame(await ask(server(text), path), { status: 500, body: text })
    t.strictSame(await ask(server(text, 'stopping'), path), { status: 500, body: text }, 'the first reason')
  }
})

t.test('a server reports every check when asked to', async (t) => {
  t.strictSame(await ask(server(undefined), '/readyz', 'verbose'), {
    status: 200,
    body: '[+]ping ok\n[+]agent-connected ok\n[+]serving ok\ncheck passed\n',
  })
  t.strictSame(await ask(server(undefined, 'stopping'), '/readyz', 'verbose=1'), {
    status: 500,
    body: '[+]ping ok\n[+]agent-connected ok\n[-]serving failed: stopping\n',
  })
})

t.test('an agent says ok, or 503 and always the report', async (t) => {
  const report = '[+]ping ok\n[-]server-connected failed: no servers connected\n'
  for (const path of ['/ready', '/readyz']) {
    t.strictSame(await ask(agent(undefined), path), { status: 200, body: 'ok' })
    t.strictSame(await ask(agent('no servers connected'), path), { status: 503, body: report })
    t.strictSame(await ask(agent('no servers connected'), path, 'verbose'), { status: 503, body: report })
    t.strictSame(await ask(agent(undefined), path, 'verbose'), {
      status: 200,
      body: '[+]ping ok\n[+]server-connected ok\ncheck passed\n',
    })
  }
})

t.test('gives the metrics with the content type of their format', async (t) => {
  for (const routes of [server(undefined), { '/metrics': metricsRoute(registry) }]) {
    const { status, body, headers } = await ask(routes, '/metrics')
    t.equal(status, 200)
    t.match(body, /^events_total 1$/m)
    t.strictSame(headers, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' })
  }
})

t.test('the admin port of an agent sends on to the health port, by the name that the client used', async (t) => {
  const routes = { '/metrics': movedMetricsRoute(() => 8093) }
  t.match(await ask(routes, '/metrics'), { status: 301, headers: { Location: '//[::1]:8093/metrics' } })
  t.match(await ask(routes, '/metrics', '?a=1'), { headers: { Location: '//[::1]:8093/metrics?a=1' } })
})

t.test('compresses the metrics for who takes that', async (t) => {
  const route = metricsRoute(registry)
  const { body, headers } = await route(asked({ acceptsGzip: true }))
  t.equal(headers?.['Content-Encoding'], 'gzip')
  t.equal(gunzipSync(body as Uint8Array).toString(), await registry.metrics())
  t.notOk((await route(asked())).headers?.['Content-Encoding'])
})
