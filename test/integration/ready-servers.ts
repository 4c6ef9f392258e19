/** Which servers say that they are ready, as a balancer with health checks knows it, and connections through one of those. */
import { randomInt } from 'node:crypto'
import type { Test } from 'tap'
import { type Frontend, openTunnel } from './client.ts'
import { fetchFrom } from './figures.ts'
import type { Dial } from './steady-load.ts'

/** How often it is asked who is ready: milliseconds. Far more often than a balancer does, but not always. */
const ASK_READY_MS = 100

type Healthy = { readonly healthPort: number }

/** @param servers those that there are at the moment; asked for all the time */
export function watchReady<S extends Healthy>(t: Test, servers: () => readonly S[]): () => readonly S[] {
  let ready = servers()
  let stopped = false
  const watch = async (): Promise<void> => {
    while (!stopped) {
      const answers = await Promise.all(servers().map(async (server) => ((await isReady(server)) ? [server] : [])))
      ready = answers.flat()
      await new Promise((resolve) => setTimeout(resolve, ASK_READY_MS))
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

async function isReady({ healthPort }: Healthy): Promise<boolean> {
  const answer = await fetchFrom(healthPort, '/readyz').catch(() => undefined)
  await answer?.text()
  return answer?.status === 200
}
