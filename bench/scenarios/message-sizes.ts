/** Question: what does the size of a message do to its round trip? */
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { processorMetrics, type Scenario } from './scenario.ts'

export const messageSizes: Scenario = {
  name: 'message-sizes',
  question: 'round trips, 1 connection',
  askedByName: true,
  cases: ({ messageBytes, warmUpMs, windowMs, rounds }) =>
    messageBytes.map((bytes) => ({
      label: `${bytes} bytes`,
      series: 'bytes',
      size: bytes,
      frontend: 'tls',
      start: 'shared',
      rounds,
      metrics: [
        { name: 'p50', unit: 'µs', better: 'less' },
        { name: 'p99', unit: 'µs', better: 'less' },
        ...processorMetrics('µs'),
      ],
      measure: async ({ frontend, server, agent }, { light }) => {
        const wait = { warmUpMs, windowMs, deadlineMs: ANSWER_DEADLINE_MS, watched: [server, agent] }
        const job = { frontend, target: light.services.echo, atOnce: 1, messageBytes: bytes, ...wait }
        const { p50Us, p99Us, processorMs } = await light.generator.call('roundTrips', job)
        return [p50Us, p99Us, ...processorMs.map((ms) => ms * 1000)]
      },
    })),
}
