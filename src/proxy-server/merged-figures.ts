/** The metrics of several processes as those of one. Pure. */
import { AggregatorRegistry, type Registry } from 'prom-client'
import type { Figures } from './worker-messages.ts'

/** Of metrics that are not ours to declare; the others say themselves how they are merged, and most are sums. */
const MERGED_AS: readonly (readonly [RegExp, 'min' | 'max'])[] = [
  [/^process_start_time_seconds$/, 'min'],
  [/^process_max_fds$/, 'min'],
  [/^nodejs_eventloop_lag/, 'max'],
]

export function mergeFigures(all: readonly Figures[]): Registry {
  const declared = all.map((figures) =>
    figures.map((figure) => {
      const aggregator = MERGED_AS.find(([name]) => name.test(figure.name))?.[1]
      return aggregator === undefined ? figure : { ...figure, aggregator }
    }),
  )
  return AggregatorRegistry.aggregate(declared)
}

/** What stays counted when a process has ended: else its counters would seem to run backwards. */
export async function addLasting(lasting: Figures, ended: Figures): Promise<Figures> {
  const merged = await mergeFigures([lasting, ended]).getMetricsAsJSON()
  return merged.filter(({ type }) => LASTING.has(String(type)))
}

const LASTING = new Set(['counter', 'histogram'])
