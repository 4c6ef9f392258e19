/** Question: how many bytes are lost when the sender writes all it has and closes at once? */
import type { Metric, Reading, Scenario } from './scenario.ts'

const LEAST_BYTES = 1_024
const MOST_BYTES = 1_048_576
const AT_ONCE = 16
/** For targets to see the end of what came. */
const ENDED_DEADLINE_MS = 10_000

const metrics: readonly Metric[] = [
  { name: 'bytes lost', unit: 'bytes', better: 'less' },
  { name: 'transfers cut short', unit: '%', better: 'less' },
]

export const writeThenClose: Scenario = {
  name: 'write-then-close',
  question: 'write, then close',
  cases: ({ transfers, rounds }) =>
    transfers.flatMap((count) => {
      const sizes = spread(count)
      const one = { size: count, frontend: 'tls', start: 'shared', rounds, metrics } as const
      return [
        {
          ...one,
          label: `${count} transfers of clients`,
          series: 'transfers of clients',
          async measure({ frontend }, { light }) {
            const job = { frontend, target: light.services.ledger, sizes, atOnce: AT_ONCE }
            await light.target.call('entries', undefined)
            await light.generator.call('writeThenClose', job)
            await light.target.call('connections', { most: 0, deadlineMs: ENDED_DEADLINE_MS })
            const entries = await light.target.call('entries', undefined)
            return lost(
              sizes,
              sizes.map((_, number) => entries[String(number)] ?? 0),
            )
          },
        },
        {
          ...one,
          label: `${count} transfers of targets`,
          series: 'transfers of targets',
          async measure({ frontend }, { light }) {
            const job = { frontend, target: light.services.giver, sizes, atOnce: AT_ONCE }
            return lost(sizes, await light.generator.call('takeThenClose', job))
          },
        },
      ]
    }),
}

/** Evenly over the orders of magnitude, the smallest and the largest included. */
function spread(count: number): number[] {
  return Array.from({ length: count }, (_, index) =>
    Math.round(LEAST_BYTES * (MOST_BYTES / LEAST_BYTES) ** (index / Math.max(1, count - 1))),
  )
}

function lost(sizes: readonly number[], arrived: readonly number[]): readonly Reading[] {
  if (arrived.some((bytes) => bytes < 0)) throw new Error('write then close: wrong bytes arrived')
  const missing = sizes.map((size, number) => size - arrived[number]!)
  if (missing.some((bytes) => bytes < 0)) throw new Error('write then close: more bytes arrived than were sent')
  const short = missing.filter((bytes) => bytes > 0).length
  return [missing.reduce((sum, bytes) => sum + bytes, 0), (100 * short) / sizes.length]
}
