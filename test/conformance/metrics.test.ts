/** Families, names, types, labels, buckets and values at /metrics: konnectivity's programs and ours on the same traffic. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki } from '../integration/certificates.ts'
import { SERVER } from '../integration/figures.ts'
import { stuckTarget } from '../integration/target.ts'
import { compare } from './metrics-compare.ts'
import { type Difference, rows } from './metrics-differences.ts'
import { play, type Scene, type Story } from './metrics-story.ts'
import { playStrategies } from './metrics-strategies.ts'
import { type Pairing, RELEASES, type Way } from './pairing.ts'

const [stock] = RELEASES
/** The first is compared with the others: the side that is ours, which in two of them has a stock peer as the first had. */
const PAIRINGS = [
  { server: stock, agent: stock },
  { server: 'ours', agent: stock },
  { server: stock, agent: 'ours' },
  { server: 'ours', agent: 'ours' },
] as const
const WAYS: readonly Way[] = [
  { mode: 'http-connect', transport: 'uds' },
  { mode: 'grpc', transport: 'uds', client: stock },
]

const COURSES: readonly {
  readonly name: string
  readonly way: Way
  readonly play: (t: Test, pairing: Pairing, scene: Scene) => Promise<Story>
}[] = [
  ...WAYS.map((way) => ({ name: way.mode, way, play })),
  { name: 'several strategies', way: WAYS[0]!, play: playStrategies },
]

const pki = await makePki(t)
const stuck = await stuckTarget(t)
const covered = new Set<(typeof rows)[number]>()

for (const { name, way, play } of COURSES) {
  await t.test(`${name}: every difference from konnectivity's metrics is listed`, async (t) => {
    const pairings = PAIRINGS.map((pairing) => ({ ...pairing, way }))
    const [theirs, ...stories] = await Promise.all(pairings.map((pairing) => play(t, pairing, { pki, stuck })))
    for (const [index, story] of stories.entries()) {
      for (const difference of differences(theirs!, story, pairings[index + 1]!)) {
        const row = rows.find(({ covers }) => covers(difference))
        if (row) covered.add(row)
        const { what, side, moment, pairing } = difference
        const where = `${what}: server ${pairing.server}, agent ${pairing.agent}; ${side}, ${moment}`
        t.ok(row, `${where}: konnectivity ${difference.stock}, ours ${difference.ours}`)
      }
      if (pairings[index + 1]!.server === 'ours') everyEndCounts(t, story)
    }
  })
}

t.test('every listed difference is one', async (t) => {
  for (const row of rows) t.ok(covered.has(row) || row.atTimes, row.figure)
})

t.test('docs/compatibility.md lists the same differences', async (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/compatibility.md'), 'utf8')
  const [, section = ''] = /^## Metrics$([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(text) ?? []
  const lines = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| figure |'))
  const expected = rows.map(
    ({ figure, konnectivity, culvert, why }) => `| ${figure} | ${konnectivity} | ${culvert} | ${why} |`,
  )
  t.strictSame(lines, expected)
})

/** konnectivity v0.36.0 has no figure for it: as many connections have ended as were opened, however they ended. */
function everyEndCounts(t: Test, story: Story): void {
  for (const moment of ['after small exchanges', 'after the rest', 'agent killed'] as const) {
    const { series = new Map<string, number>() } = story.get(`server, ${moment}`) ?? {}
    const counted = (name: string): number | undefined => series.get(`${SERVER}${name}`)
    t.equal(counted('connection_duration_seconds_count'), counted('dial_duration_seconds_count'), moment)
  }
}

function* differences(stock: Story, ours: Story, pairing: Pairing): Generator<Difference> {
  for (const [at, exposition] of ours) {
    const [side, moment] = at.split(', ') as [Difference['side'], Difference['moment']]
    if (pairing[side] !== 'ours') continue
    for (const unlike of compare(stock.get(at)!, exposition)) {
      yield { ...unlike, side, moment, mode: pairing.way.mode, pairing }
    }
  }
}
