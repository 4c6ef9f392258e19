/** Question: how long does a small exchange take while eight bulk transfers use the same tunnel, and what do they get? */
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import type { Scenario } from './scenario.ts'

const BYTES_PER_MB = 1_000_000
const BULK_CONNECTIONS = 8
/** Longer than other windows: a slow peer makes few round trips, and p99 needs many. */
const WINDOWS = 2

export const besideBulk: Scenario = {
  name: 'beside-bulk',
  question: '128-byte round trip',
  lineup: 'mixed',
  cases: ({ besideBulk, warmUpMs, windowMs, rounds }) =>
    besideBulk.map((bulk) => ({
      label: `beside ${BULK_CONNECTIONS} ${bulk}`,
      series: `${bulk} beside`,
      size: BULK_CONNECTIONS,
      frontend: 'tls',
      start: 'shared',
      rounds,
      metrics: [
        { name: 'p50', unit: 'µs', better: 'less' },
        { name: 'p99', unit: 'µs', better: 'less' },
        { name: 'bulk meanwhile', unit: 'MB/s', better: 'more' },
      ],
      measure: async ({ frontend }, { light, heavy }) => {
        // The transfers begin first and end last, so that no exchange is counted that had the tunnel to itself.
        const measureMs = WINDOWS * windowMs
        const [target, command] =
          bulk === 'downloads'
            ? ([heavy.services.source, 'download'] as const)
            : ([heavy.services.sink, 'upload'] as const)
        const window = { warmUpMs, windowMs: measureMs + 4 * warmUpMs }
        const transfers = heavy.generator.call(command, { frontend, target, connections: BULK_CONNECTIONS, ...window })
        const exchanges = light.generator.call('roundTrips', {
          frontend,
          target: light.services.echo,
          atOnce: 1,
          warmUpMs: 2 * warmUpMs,
          windowMs: measureMs,
          deadlineMs: ANSWER_DEADLINE_MS,
        })
        await Promise.allSettled([exchanges, transfers]) // when one fails the other must not run on into the next round
        const [{ p50Us, p99Us }, { bytes, seconds }] = await Promise.all([exchanges, transfers])
        return [p50Us, p99Us, bytes / BYTES_PER_MB / seconds]
      },
    })),
}
