/** Question: how many more short tunnels can be had when the server has a second worker? */
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { processorMetrics, type Scenario } from './scenario.ts'

const AT_ONCE = 32

export const workers: Scenario = {
  name: 'workers',
  question: 'CONNECT, request, close',
  lineup: 'workers',
  askedByName: true,
  cases: ({ warmUpMs, windowMs, rounds }) =>
    (['tls', 'unix'] as const).map((kind) => ({
      label: `${AT_ONCE} at a time, ${kind === 'tls' ? 'TLS' : 'Unix socket'}, by workers`,
      series: 'by workers',
      size: AT_ONCE,
      frontend: kind,
      start: 'shared',
      rounds,
      metrics: [{ name: 'rate', unit: '/s', better: 'more' }, ...processorMetrics('µs')],
      measure: async ({ frontend, server, agent }, { light }) => {
        const wait = { warmUpMs, windowMs, deadlineMs: ANSWER_DEADLINE_MS, watched: [server, agent] }
        const job = { frontend, target: light.services.echo, atOnce: AT_ONCE, ...wait }
        const { perSecond, processorMs } = await light.generator.call('dials', job)
        return [perSecond, ...processorMs.map((ms) => ms * 1000)]
      },
    })),
}
