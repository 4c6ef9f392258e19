/** Question: what do clients that never read do to one that does? */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Load } from '../load/load.ts'
import type { RunningPeer } from '../peers/peer.ts'
import { processorMs } from '../process-usage.ts'
import type { Effort, Metric, Reading, Scenario } from './scenario.ts'

/** A healthy client gives up after this long. */
const DEADLINE_MS = 2_000
/** In less, a busy machine may not end one dial, let alone the hundreds that a p99 is made of. */
const LEAST_WINDOW_MS = 700
/** Server and agent are at rest when, between two looks, they use no more processor time than that together. */
const LOOK_MS = 250
const IDLE_MS = 20
const STALL_DEADLINE_MS = 60_000
/** More would be refused: the backlog of a port, handshakes under way. */
const MOST_AT_ONCE = 200

const metrics: readonly Metric[] = [
  { name: 'dial p50', unit: 'ms', better: 'less' },
  { name: 'dial p99', unit: 'ms', better: 'less' },
  { name: 'round trip p50', unit: 'µs', better: 'less' },
  { name: 'round trip p99', unit: 'µs', better: 'less' },
  { name: 'dial p99 : alone', unit: 'times', better: 'less' },
  { name: 'round trip p99 : alone', unit: 'times', better: 'less' },
]

type Healthy = { readonly dialMs: readonly [number, number]; readonly roundTripUs: readonly [number, number] }

export const stalledReaders: Scenario = {
  name: 'stalled-readers',
  question: 'healthy client',
  cases: (effort) =>
    effort.stalledReaders.map((count) => ({
      label: `beside ${count} stalled readers`,
      series: 'stalled readers',
      size: count,
      frontend: 'tls',
      start: 'fresh',
      rounds: effort.stalledRounds,
      metrics,
      measure: async (peer, load) => {
        await healthy(peer, load, effort) // a process that has just started is slow at first: not what is asked here
        const alone = await healthy(peer, load, effort)
        const { frontend } = peer
        const stalled = { frontend, target: load.heavy.services.source, kind: 'stalled' } as const
        try {
          const atOnce = Math.min(count, MOST_AT_ONCE)
          await load.heavy.generator.call('hold', { ...stalled, count, atOnce, deadlineMs: DEADLINE_MS })
          await untilStalled(peer)
          return readings(alone, await healthy(peer, load, effort))
        } finally {
          await load.heavy.generator.call('release', undefined)
        }
      },
    })),
}

async function healthy({ frontend }: RunningPeer, { light }: Load, effort: Effort): Promise<Healthy> {
  const { warmUpMs } = effort
  const windowMs = Math.max(effort.windowMs, LEAST_WINDOW_MS)
  const job = { frontend, target: light.services.echo, atOnce: 1, warmUpMs, windowMs, deadlineMs: DEADLINE_MS }
  const { dial } = await light.generator.call('dials', job)
  const { p50Us, p99Us } = await light.generator.call('roundTrips', job)
  return { dialMs: [dial.p50Us / 1000, dial.p99Us / 1000], roundTripUs: [p50Us, p99Us] }
}

/**
 * Waits until buffers on the way are full: over 1 GB where the kernel lets 200 sockets take what they like. What the source
 * has sent does not tell, because it stands still as soon as its own buffers are full; that nobody works does.
 *
 * @throws Error when they work on: then something buffers without a limit, or spins
 */
async function untilStalled({ server, agent }: RunningPeer): Promise<void> {
  const used = async (): Promise<number> => (await processorMs(server)) + (await processorMs(agent))
  const deadline = performance.now() + STALL_DEADLINE_MS
  let before = Number.NEGATIVE_INFINITY
  let now = await used()
  while (now - before > IDLE_MS) {
    if (performance.now() > deadline) throw new Error(`still at work ${STALL_DEADLINE_MS} ms after all readers stopped`)
    await sleep(LOOK_MS)
    before = now
    now = await used()
  }
}

function readings(alone: Healthy, beside: Healthy): readonly Reading[] {
  const growth = [beside.dialMs[1] / alone.dialMs[1], beside.roundTripUs[1] / alone.roundTripUs[1]]
  return [...beside.dialMs, ...beside.roundTripUs, ...growth]
}
