/** Question: what does a long way between server and agent leave of bulk, with and without loss? */
import type { Scenario } from './scenario.ts'

const BYTES_PER_MB = 1_000_000
/** The windows of TCP open slowly on a long way. */
const WARM_UP_MS = 3_000

export const wan: Scenario = {
  name: 'wan',
  question: 'long way',
  askedByName: true,
  cases: ({ wan, wanRounds }) =>
    wan.flatMap(({ roundTripMs, loss, connections, windowMs }) =>
      (['download', 'upload'] as const).map((direction) => ({
        label: `${roundTripMs} ms, ${100 * loss} % lost, ${direction}, ${connections === 1 ? '1 connection' : `${connections} connections`}`,
        series: `connections, ${direction}, ${roundTripMs} ms, ${100 * loss} % lost`,
        size: connections,
        frontend: 'tls',
        start: 'shared',
        path: { roundTripMs, loss },
        rounds: wanRounds,
        metrics: [{ name: 'rate', unit: 'MB/s', better: 'more' }],
        measure: async ({ frontend }, { heavy }) => {
          const target = direction === 'download' ? heavy.services.source : heavy.services.sink
          const job = { frontend, target, connections, warmUpMs: WARM_UP_MS, windowMs }
          const { bytes, seconds } = await heavy.generator.call(direction, job)
          return [bytes / BYTES_PER_MB / seconds]
        },
      })),
    ),
}
