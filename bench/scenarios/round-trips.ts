/** Question: how long does a small exchange take on an open tunnel, and how many pass per second on several? */
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { processorMetrics, type Scenario } from './scenario.ts'

export const roundTrips: Scenario = {
  name: 'round-trips',
  question: '128-byte round trips',
  lineup: 'mixed',
  cases: ({ exchangesAtOnce, warmUpMs, windowMs, rounds }) =>
    exchangesAtOnce.map((atOnce) => ({
      label: atOnce === 1 ? '1 connection' : `${atOnce} connections`,
      series: 'connections',
      size: atOnce,
      frontend: 'tls',
      start: 'shared',
      rounds,
      metrics: [
        { name: 'p50', unit: 'µs', better: 'less' },
        { name: 'rate', unit: '/s', better: 'more' },
        ...processorMetrics('µs'),
      ],
      measure: async ({ frontend, server, agent }, { light }) => {
        const wait = { warmUpMs, windowMs, deadlineMs: ANSWER_DEADLINE_MS, watched: [server, agent] }
        const job = { frontend, target: light.services.echo, atOnce, ...wait }
        const { p50Us, perSecond, processorMs } = await light.generator.call('roundTrips', job)
        return [p50Us, perSecond, ...processorMs.map((ms) => ms * 1000)]
      },
    })),
}
