/** Question: how many short tunnels (CONNECT, a small request, close) can be had per second? */
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { processorMetrics, type Scenario } from './scenario.ts'

export const connectRate: Scenario = {
  name: 'connect-rate',
  question: 'CONNECT, request, close',
  lineup: 'mixed',
  cases: ({ dialsAtOnce, warmUpMs, windowMs, rounds }) =>
    (['tls', 'unix'] as const).flatMap((kind) =>
      dialsAtOnce.map((atOnce) => ({
        label: `${atOnce} at a time, ${kind === 'tls' ? 'TLS' : 'Unix socket'}`,
        series: `at a time, ${kind === 'tls' ? 'TLS' : 'Unix socket'}`,
        size: atOnce,
        frontend: kind,
        start: 'shared',
        rounds,
        metrics: [{ name: 'rate', unit: '/s', better: 'more' }, ...processorMetrics('µs')],
        measure: async ({ frontend, server, agent }, { light }) => {
          const wait = { warmUpMs, windowMs, deadlineMs: ANSWER_DEADLINE_MS, watched: [server, agent] }
          const job = { frontend, target: light.services.echo, atOnce, ...wait }
          const { perSecond, processorMs } = await light.generator.call('dials', job)
          return [perSecond, ...processorMs.map((ms) => ms * 1000)]
        },
      })),
    ),
}
