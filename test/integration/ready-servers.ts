/** Which servers say that they are ready, as a balancer with health checks knows it, and connections through one of those. */
import { randomInt } from 'node:crypto'
import type { Test } from 'tap'
import { type Balancer, startBalancer } from './balancer.ts'
import { type Frontend, openTunnel } from './client.ts'
import { fetchFrom } from './figures.ts'
import type { Dial } from './steady-load.ts'

/** How often it is asked who is ready: milliseconds. Far more often than a balancer does, but not always. */
const ASK_READY_MS = 100
/** The same of a balancer that is slow, but quicker than the quiet time of a server that drains: milliseconds. */
const ASK_SLOWLY_MS = 500

type Healthy = { readonly healthPort: number }

/** @param servers those that there are at the moment; asked for all the time */
export function watchReady<S extends Healthy>(
  t: Test,
  servers: () => readonly S[],
  askMs = ASK_READY_MS,
): () => readonly S[] {
  let ready = servers()
  let stopped = false
  const watch = async (): Promise<void> => {
    while (!stopped) {
      const answers = await Promise.all(servers().map(async (server) => ((await isReady(server)) ? [server] : [])))
      ready = answers.flat()
      await new Promise((resolve) => setTimeout(resolve, askMs))
    }
  }
  const watching = watch()
  t.teardown(() => {
    stopped = true
    return watching
  })
  return () => ready
}

/** By CONNECT, through any of those that are ready. */
export function connectThroughReady(t: Test, servers: () => readonly (Frontend & Healthy)[]): Dial {
  const ready = watchReady(t, servers)
  return async (address) => {
    const all = ready()
    const server = all[randomInt(Math.max(1, all.length))]
    if (!server) throw new Error('no server is ready')
    return openTunnel(server, address)
  }
}

export type Balanced = Healthy & { readonly frontendPort: number }

/** In front of those that are ready, in turn. */
export function balanceReady(t: Test, servers: () => readonly Balanced[]): Promise<Balancer> {
  const ready = watchReady(t, servers)
  return startBalancer(t, () => ready().map(({ frontendPort }) => frontendPort))
}

/** Leads to one server for as long as it takes that for ready: who is told to go by a server that drains comes back to it. */
export function stickToReady(t: Test, servers: () => readonly Balanced[]): Promise<Balancer> {
  const ready = watchReady(t, servers, ASK_SLOWLY_MS)
  return startBalancer(t, () =>
    ready()
      .slice(0, 1)
      .map(({ frontendPort }) => frontendPort),
  )
}

async function isReady({ healthPort }: Healthy): Promise<boolean> {
  const answer = await fetchFrom(healthPort, '/readyz').catch(() => undefined)
  await answer?.text()
  return answer?.status === 200
}
