import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { addLasting, mergeFigures } from '../../src/proxy-server/merged-figures.ts'
import type { Figures } from '../../src/proxy-server/worker-messages.ts'

/** What a worker with these numbers says. */
async function figures(numbers: { dials?: number; open?: number; expiry?: number; lag?: number; start?: number }) {
  const registry = new Registry()
  const registers = [registry]
  new Counter({ name: 'dials', help: 'h', labelNames: ['why'], registers }).inc({ why: 'a' }, numbers.dials ?? 0)
  new Gauge({ name: 'open', help: 'h', registers }).set(numbers.open ?? 0)
  new Gauge({ name: 'expiry', help: 'h', aggregator: 'min', registers }).set(numbers.expiry ?? 0)
  new Gauge({ name: 'nodejs_eventloop_lag_seconds', help: 'h', aggregator: 'average', registers }).set(numbers.lag ?? 0)
  new Gauge({ name: 'process_start_time_seconds', help: 'h', aggregator: 'omit', registers }).set(numbers.start ?? 0)
  const seconds = new Histogram({ name: 'seconds', help: 'h', buckets: [1], registers })
  for (let count = 0; count < (numbers.dials ?? 0); count++) seconds.observe(0.5)
  return JSON.parse(JSON.stringify(await registry.getMetricsAsJSON())) as Figures
}
const linesOf = async (registry: Registry): Promise<string[]> =>
  (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))

t.test('adds up what was counted, and merges the rest as its metric says', async (t) => {
  const one = await figures({ dials: 2, open: 3, expiry: 50, lag: 0.1, start: 1_000 })
  const other = await figures({ dials: 1, open: 4, expiry: 40, lag: 0.3, start: 2_000 })
  t.strictSame((await linesOf(mergeFigures([one, other]))).toSorted(), [
    'dials{why="a"} 3',
    'expiry 40',
    'nodejs_eventloop_lag_seconds 0.3',
    'open 7',
    'process_start_time_seconds 1000',
    'seconds_bucket{le="+Inf"} 3',
    'seconds_bucket{le="1"} 3',
    'seconds_count 3',
    'seconds_sum 1.5',
  ])
})

t.test('keeps of a worker that has ended what it counted, and nothing of what it held', async (t) => {
  const first = await addLasting([], await figures({ dials: 2, open: 3 }))
  const both = await addLasting(first, await figures({ dials: 5, open: 1 }))
  const lines = await linesOf(mergeFigures([await figures({ dials: 1, open: 10 }), both]))
  t.ok(lines.includes('dials{why="a"} 8'), lines.join('\n'))
  t.ok(lines.includes('seconds_count 8'))
  t.ok(lines.includes('open 10'))
})
