/** Question: how fast do bytes go and come for clients in gRPC mode? */
import { processorMetrics, type Scenario } from './scenario.ts'

const BYTES_PER_MB = 1_000_000
const BYTES_PER_GB = 1_000_000_000

export const grpcBulk: Scenario = {
  name: 'grpc-bulk',
  question: 'gRPC mode, Unix socket',
  lineup: 'mixed',
  askedByName: true,
  cases: ({ grpcConnections, warmUpMs, windowMs, rounds }) =>
    (['download', 'upload'] as const).flatMap((direction) =>
      grpcConnections.map((connections) => ({
        label: `bulk ${direction}, ${connections} at a time`,
        series: `${direction}s at a time`,
        size: connections,
        frontend: 'grpc',
        start: 'shared',
        rounds,
        metrics: [{ name: 'rate', unit: 'MB/s', better: 'more' }, ...processorMetrics('ms/GB')],
        measure: async ({ frontend, server, agent }, { heavy }) => {
          const target = direction === 'download' ? heavy.services.source : heavy.services.sink
          const job = { frontend, target, connections, warmUpMs, windowMs, watched: [server, agent] }
          const { bytes, seconds, processorMs } = await heavy.generator.call(direction, job)
          return [bytes / BYTES_PER_MB / seconds, ...processorMs.map((ms) => (ms / bytes) * BYTES_PER_GB)]
        },
      })),
    ),
}
