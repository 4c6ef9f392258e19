/** The page of a run and its plots, of figures that the test makes up. */
import { join } from 'node:path'
import t from 'tap'
import { judge } from '../../bench/bars.ts'
import { growths } from '../../bench/growth.ts'
import type { CaseResult } from '../../bench/harness.ts'
import { pages } from '../../bench/pages.ts'
import { makeReport, readOrigin } from '../../bench/report.ts'
import type { Reading } from '../../bench/scenarios/scenario.ts'
import { fullEffort } from '../../bench/scenarios/scenario.ts'
import { type Section, toRows } from '../../bench/table.ts'

const peers = ['ours', 'stock']
const base = join('results', '2026-01-01-all')

function result(label: string, size: number, ours: Reading, stock: Reading): CaseResult {
  const subject = {
    label,
    series: 'connections',
    size,
    frontend: 'tls',
    start: 'shared',
    rounds: 1,
    metrics: [{ name: 'rate', unit: 'MB/s', better: 'more' }],
    measure: async () => [],
  } as const
  const rounds = [ours, stock].map((reading) => [
    { kind: 'measured', readings: [reading], processorMs: { server: 0, agent: 0, load: 0 } } as const,
  ])
  return { scenario: { name: 'bulk-download', question: 'bulk download', cases: () => [subject] }, subject, rounds }
}

const results = [
  result('1 connection', 1, 400, 200),
  result('8 connections', 8, 900, 200),
  result('32 connections', 32, 80, 'no answer'),
]
const section: Section = { peers, reference: 1, rows: toRows(results, peers, 1), growth: growths(results, peers) }
const verdicts = judge(section.rows)
const report = makeReport(readOrigin(), { effort: fullEffort }, [], results, [section], verdicts, 60)
const files = await pages(report, [section], verdicts, base)

t.test('is one page of Markdown, with its plots in a folder beside it', async (t) => {
  t.strictSame([...files.keys()].sort(), [
    `${base}.md`,
    join(base, 'bulk-download-connections-rate.svg'),
    join(base, 'ratios.svg'),
  ])
  const page = files.get(`${base}.md`)!
  for (const [, file] of page.matchAll(/\]\((\S+\.svg)\)/g)) t.ok(files.has(join('results', file ?? '')), `${file}`)
})

t.test('says beside each ratio what it must be, and whether it is', async (t) => {
  const page = files.get(`${base}.md`)!
  t.match(page, /\| 2\.00x \(2\.00–2\.00\) \| ≥ 2x met \| ≥ 3x not met \|/)
  t.match(page, /\| 4\.50x \(4\.50–4\.50\) \| ≥ 2x met \| ≥ 3x met \|/)
  t.match(page, /\| bulk-download: 8 connections, rate \| ours \| 4\.50x \| ≥ 2x ✓ met \|/)
  t.match(page, /\d+ of \d+ bars were not measured/)
})

t.test('draws sizes with a line for each peer, names and units on the axes', async (t) => {
  const svg = files.get(join(base, 'bulk-download-connections-rate.svg'))!
  for (const word of ['bulk download', 'ours', 'stock', 'connections', 'MB/s']) t.match(svg, `>${word}`)
  t.ok(svg.startsWith('<svg'))
  t.ok(svg.length < 30_000, `${svg.length} bytes`)
})

t.test('is readable on white and on black: no colour of its own behind it, text in a grey between', async (t) => {
  for (const [file, text] of files) {
    if (!file.endsWith('.svg')) continue
    t.notMatch(text, /<text[^>]*fill="(?!#767676)/, file)
    t.match(text, '#767676', file)
  }
})
