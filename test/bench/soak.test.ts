/** A soak of one cycle, of this checkout, and the page that is made of its samples. */
import { join } from 'node:path'
import t from 'tap'
import { readOrigin } from '../../bench/report.ts'
import { type Figures, leftOver, type Sample, soak } from '../../bench/soak.ts'
import { soakPages } from '../../bench/soak-report.ts'

const rest: Figures = { heapMiB: 10, residentMiB: 90, descriptors: 27, tables: 0 }
const sample = (minutes: number, server: Partial<Figures> = {}): Sample => ({
  minutes,
  server: { ...rest, ...server },
  agent: rest,
  tunnels: 500,
  megabytes: 1_000,
})

t.test('looks at both programs at rest, when every connection has been cut and is back', async (t) => {
  const said: string[] = []
  const [found, ...more] = await soak(0.001, (line) => said.push(line))
  t.strictSame(more, [], 'one cycle')
  t.ok(found!.tunnels > 0 && found!.megabytes > 0)
  for (const end of [found!.server, found!.agent]) {
    t.equal(end.tables, 0)
    t.ok(end.heapMiB > 1 && end.residentMiB > end.heapMiB && end.descriptors > 10, JSON.stringify(end))
  }
  t.match(said, [/server: heap \d+ MiB, .*agent: heap/])
})

t.test('names the looks at which a table was not empty, or could not be read', async (t) => {
  const bad = [sample(2, { tables: 1 }), sample(3, { tables: Number.NaN })]
  t.strictSame(leftOver([sample(1), ...bad]), bad)
})

t.test('sets the last quarter beside the second, and draws all of it', async (t) => {
  const samples = [10, 11, 12, 24].map((heapMiB, minute) => sample(minute, { heapMiB }))
  const base = join('results', 'soak')
  const files = soakPages({ ...readOrigin(), samples }, base)
  t.strictSame([...files.keys()].length, 4)
  t.match(files.get(`${base}.md`), /\| server, heap in use, MiB \| 11\.0 \| 24\.0 \| 2\.18 \|/)
  t.match(files.get(join(base, 'descriptors.svg')), />minutes</)
})
