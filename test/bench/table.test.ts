import t from 'tap'
import { growths } from '../../bench/growth.ts'
import type { CaseResult, Round } from '../../bench/harness.ts'
import type { Reading } from '../../bench/scenarios/scenario.ts'
import { renderTable, toRows } from '../../bench/table.ts'

const peers = ['ours', 'stock']

function result(size: number, ours: readonly (Reading | string)[], stock: readonly (Reading | string)[]): CaseResult {
  const rounds = [ours, stock].map((readings) => readings.map(round))
  const subject = {
    label: `${size} connections`,
    series: 'connections',
    size,
    frontend: 'tls',
    start: 'shared',
    rounds: 3,
    metrics: [{ name: 'rate', unit: 'MB/s', better: 'more' }],
    measure: async () => [],
  } as const
  return { scenario: { name: 'bulk', question: 'bulk', cases: () => [subject] }, subject, rounds }
}

function round(reading: Reading | string): Round {
  if (typeof reading === 'string' && reading !== 'no answer') return { kind: 'failed', why: reading }
  return { kind: 'measured', readings: [reading as Reading], processorMs: { server: 0, agent: 0, load: 0 } }
}

const render = (results: readonly CaseResult[]): string =>
  renderTable({ peers, reference: 1, rows: toRows(results, peers, 1), growth: growths(results, peers) }, [])

t.test('shows the median with its spread and the ratio to the reference', async (t) => {
  t.match(
    render([result(1, [400, 500, 450], [200, 250, 225])]),
    /450 \(400–500\) +225 \(200–250\) +2\.00x \(2\.00–2\.00\)/,
  )
})

t.test('shows no answer in the place of a number', async (t) => {
  t.match(render([result(1, [1.5], ['no answer'])]), /1\.50 +no answer +–/)
})

t.test('shows rounds that failed as failed, with the reason, and never as a number', async (t) => {
  t.match(
    render([result(1, ['lost bytes', 'lost bytes'], [2, 2])]),
    /failed +2\.00 .*\nfailed: .*2 of 2 rounds: lost bytes\n/,
  )
  t.match(render([result(1, ['lost bytes', 3], [2, 2])]), /3\.00 1\/2 failed/)
})

t.test('shows the growth from the smallest to the largest of three sizes', async (t) => {
  const sizes = [result(1, [100], [50]), result(8, [90], [40]), result(32, [50], [5])]
  t.match(render(sizes), /1 → 32 connections +rate, times +0\.50 +0\.10/)
  t.strictSame(growths(sizes.slice(1), peers), [], 'two sizes make no growth')
})
