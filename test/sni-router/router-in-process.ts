/** A router with one route, `a` for `a.example`, in the test's own process, so that a test can look inside. */
import { type AddressInfo, createServer } from 'node:net'
import type { Test } from 'tap'
import { createBackends } from '../../src/sni-router/backends.ts'
import { systemConnect } from '../../src/sni-router/connecting.ts'
import { type GivenRoute, type RouterConfig, readConfig } from '../../src/sni-router/core/config.ts'
import { createRouterMetrics } from '../../src/sni-router/metrics.ts'
import type { WatchName } from '../../src/sni-router/names.ts'
import { createRouter, type Router } from '../../src/sni-router/router.ts'
import { event } from '../integration/deadline.ts'
import { type ManualClock, manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

/** A resolver that hangs. */
const noAnswer: WatchName = () => ({ [Symbol.dispose]() {} })

export function configWith(routes: readonly GivenRoute[]): RouterConfig {
  return readConfig({ listen: [{ port: 0 }], routes }).config
}
export const routeTo = (...backends: string[]): readonly GivenRoute[] => [{ name: 'a', hosts: ['a.example'], backends }]

/** @param backend a name is never answered */
export async function startRouter(
  t: Test,
  backend: string,
): Promise<{ readonly router: Router; readonly port: number; readonly clock: ManualClock }> {
  const config = configWith(routeTo(backend))
  const [clock, log] = [manualClock(), recordedLog()]
  const state = { clients: () => 0, tallies: () => new Map(), backends: () => [], configAlarm: () => false }
  const { metrics } = createRouterMetrics(state)
  const backends = createBackends({ clock, log, watchName: noAnswer, connect: systemConnect, random: Math.random })
  const router = createRouter(config, { clock, log, metrics, backends, connect: systemConnect })
  const server = createServer({ allowHalfOpen: true }, (socket) => router.take(socket, 0))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => {
    server.close()
    router[Symbol.dispose]()
    backends[Symbol.dispose]()
  })
  return { router, port: (server.address() as AddressInfo).port, clock }
}
