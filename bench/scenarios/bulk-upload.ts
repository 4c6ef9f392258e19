/** Question: how fast do bytes go to a target, over one connection and over several? */
import { processorMetrics, type Scenario } from './scenario.ts'

const BYTES_PER_MB = 1_000_000
const BYTES_PER_GB = 1_000_000_000

export const bulkUpload: Scenario = {
  name: 'bulk-upload',
  question: 'bulk upload',
  lineup: 'bulk',
  cases: ({ bulkConnections, warmUpMs, windowMs, rounds }) =>
    bulkConnections.map((connections) => ({
      label: connections === 1 ? '1 connection' : `${connections} connections`,
      series: 'connections',
      size: connections,
      frontend: 'tls',
      start: 'shared',
      rounds,
      metrics: [{ name: 'rate', unit: 'MB/s', better: 'more' }, ...processorMetrics('ms/GB')],
      measure: async ({ frontend, server, agent }, { heavy }) => {
        const job = { frontend, target: heavy.services.sink, connections, warmUpMs, windowMs, watched: [server, agent] }
        const { bytes, seconds, processorMs } = await heavy.generator.call('upload', job)
        return [bytes / BYTES_PER_MB / seconds, ...processorMs.map((ms) => (ms / bytes) * BYTES_PER_GB)]
      },
    })),
}
