/** How tests read a program's metrics: a name that is misspelt must not look like something that has not happened. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { figure, figureBecomes } from './figures.ts'

const EXPOSITION = `# HELP open Of a gauge.
# TYPE open gauge
open 3
# HELP ends_total By how, and none so far.
# TYPE ends_total counter
# HELP refused_total By why.
# TYPE refused_total counter
refused_total{why="late = {too late}"} 7
# HELP wait_seconds Of a histogram.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_sum 0.5
wait_seconds_count 2
`

async function exposing(exposition: string): Promise<{ readonly healthPort: number; readonly adminPort: number }> {
  const server = createServer((_, response) => void response.end(exposition)).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return { healthPort: (server.address() as AddressInfo).port, adminPort: 0 }
}
const program = await exposing(EXPOSITION)

t.test('reads series with and without labels, and what belongs to a histogram', async (t) => {
  t.equal(await figure(program, 'open'), 3)
  t.equal(await figure(program, 'refused_total{why="late = {too late}"}'), 7)
  t.equal(await figure(program, 'wait_seconds_bucket{le="+Inf"}'), 2)
  t.equal(await figure(program, 'wait_seconds_sum'), 0.5)
  t.equal(await figure(program, 'wait_seconds_count'), 2)
})

t.test('gives 0 for labels that nothing was counted with yet', async (t) => {
  t.equal(await figure(program, 'ends_total{how="reset"}'), 0)
  t.equal(await figure(program, 'refused_total{why="early"}'), 0)
  t.equal(await figure(program, 'wait_seconds_bucket{le="1"}'), 0)
})

t.test('refuses a name that the program has no metric of, and waits for none', async (t) => {
  for (const series of ['opne', 'ends{how="reset"}', 'open_count', 'ends_total_sum', 'wait_seconds', 'HELP']) {
    const [name] = series.split('{')
    await t.rejects(figure(program, series), { message: `there is no metric ${name}: look at how it is spelt` })
    await t.rejects(figureBecomes(program, series, 0), { message: /^there is no metric / })
  }
})

t.test('gives 0 for what a program in Go does not show before it has counted', async (t) => {
  const konnectivity = await exposing(`# TYPE go_info gauge\ngo_info{version="go1.26"} 1\n${EXPOSITION}`)
  t.equal(await figure(konnectivity, 'dials_total'), 0)
  t.equal(await figure(konnectivity, 'open'), 3)
})
