/** The health port. An agent that joins its hub first may have to wait for that: meanwhile it is alive, and not ready. */
import { createEndpoints, type Refusal, type Routes } from '../platform/endpoints.ts'
import { healthRoutes, type Readiness } from '../platform/health.ts'
import { listen } from '../platform/listen.ts'
import type { AgentOptions } from './options.ts'

/** Disposing it closes the port. */
export type HealthPort = Disposable & {
  readonly port: number
  /** What is answered from now on. */
  readonly serve: (readiness: Readiness, registry: Parameters<typeof healthRoutes>[1], refused: Refused) => void
}
type Refused = (why: Refusal) => void

const JOINING: Readiness = {
  whenNot: 'agent',
  checks: [{ name: 'server-connected', problem: () => 'joining the hub' }],
}
const NO_METRICS = { metrics: async () => '', contentType: 'text/plain; version=0.0.4; charset=utf-8' } as const

/** @throws TunnelError `bad-option` when the port cannot be had */
export async function openHealthPort(
  options: Pick<AgentOptions, 'healthServerHost' | 'healthServerPort'>,
): Promise<HealthPort> {
  const routes: Routes = { ...healthRoutes(JOINING, NO_METRICS) }
  let refused: Refused = () => undefined
  const server = createEndpoints(routes, (why) => refused(why))
  const port = await listen(server, {
    flag: '--health-server-port',
    host: options.healthServerHost,
    port: options.healthServerPort,
  })
  return {
    port,
    serve(readiness, registry, count) {
      Object.assign(routes, healthRoutes(readiness, registry))
      refused = count
    },
    [Symbol.dispose]() {
      server.close()
      server.closeAllConnections()
    },
  }
}
