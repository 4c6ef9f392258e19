/** Question: what do clients in gRPC mode get, a connection and a call for each tunnel as kube-apiserver opens them? */
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { type Case, processorMetrics, type Scenario } from './scenario.ts'

export const grpcFrontend: Scenario = {
  name: 'grpc-frontend',
  question: 'gRPC mode, Unix socket',
  lineup: 'mixed',
  cases: ({ grpcConnections, warmUpMs, windowMs, rounds }) => {
    const one = { frontend: 'grpc', start: 'shared', rounds } as const
    const wait = { warmUpMs, windowMs, deadlineMs: ANSWER_DEADLINE_MS }
    return grpcConnections.flatMap((size): Case[] => [
      {
        ...one,
        label: `dial, request, close, ${size} at a time`,
        series: 'dials at a time',
        size,
        metrics: [{ name: 'rate', unit: '/s', better: 'more' }, ...processorMetrics('µs')],
        measure: async ({ frontend, server, agent }, { light }) => {
          const job = { frontend, target: light.services.echo, atOnce: size, ...wait, watched: [server, agent] }
          const { perSecond, processorMs } = await light.generator.call('dials', job)
          return [perSecond, ...processorMs.map((ms) => ms * 1000)]
        },
      },
      {
        ...one,
        label: `128-byte round trips, ${size} at a time`,
        series: 'round trips at a time',
        size,
        metrics: [
          { name: 'p50', unit: 'µs', better: 'less' },
          { name: 'rate', unit: '/s', better: 'more' },
        ],
        measure: async ({ frontend }, { light }) => {
          const job = { frontend, target: light.services.echo, atOnce: size, ...wait }
          const { p50Us, perSecond } = await light.generator.call('roundTrips', job)
          return [p50Us, perSecond]
        },
      },
    ])
  },
}
