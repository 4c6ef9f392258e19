import t from 'tap'
import { bars, broken, judge, limitText } from '../../bench/bars.ts'
import { scenarios } from '../../bench/scenarios/index.ts'
import type { Reading } from '../../bench/scenarios/scenario.ts'
import { fullEffort } from '../../bench/scenarios/scenario.ts'
import { summarize } from '../../bench/statistics.ts'
import type { Row } from '../../bench/table.ts'

function row(
  scenario: string,
  subject: string,
  metric: string,
  ours: readonly Reading[],
  ratios: readonly number[],
): Row {
  const cell = { peer: 'ours', readings: ours, failures: [], summary: summarize(ours) }
  const peers = [{ ...cell, ...(ratios.length > 0 && { ratio: summarize(ratios) }) }]
  return { scenario, question: scenario, subject, series: 's', size: 1, metric, unit: 'bytes', better: 'less', peers }
}
const verdictOf = (one: Row) => judge([one]).find((verdict) => verdict.row === one)!

t.test('judges a ratio by its median, each limit for itself, and the limit is met', async (t) => {
  const download = (...ratios: number[]) => verdictOf(row('bulk-download', '1 connection', 'rate', [1], ratios))
  t.match(download(9, 2, 1), { must: 'met', goal: 'not met' })
  t.match(download(1.99), { must: 'not met', goal: 'not met' })
  t.match(download(3), { must: 'met', goal: 'met' })
  t.match(download(), { must: 'not measured', goal: 'not measured' }, 'stock gave no number')
})

t.test('judges a figure by itself where the bar says so, and no answer as missed', async (t) => {
  const p99 = (reading: Reading) =>
    verdictOf(row('stalled-readers', 'beside 200 stalled readers', 'dial p99 : alone', [reading], []))
  t.match(p99(1.5), { must: 'met', goal: 'not met' })
  t.match(p99('no answer'), { must: 'not met', goal: 'not met' })
})

t.test('judges lost bytes by the worst round, which also breaks a run of other numbers', async (t) => {
  const lost = (subject: string, ...readings: number[]) => row('write-then-close', subject, 'bytes lost', readings, [])
  t.match(verdictOf(lost('1000 transfers of clients', 0, 0, 1)), { must: 'not met' })
  t.match(verdictOf(lost('1000 transfers of clients', 0, 0, 0)), { must: 'met' })
  t.equal(broken([lost('7 transfers of clients', 0, 0, 1)]).length, 1)
  t.equal(broken([lost('7 transfers of clients', 0, 0, 0)]).length, 0)
})

t.test('knows bars that nothing was measured for', async (t) => {
  const verdicts = judge([])
  t.equal(verdicts.length, bars.length)
  t.ok(verdicts.every(({ must, goal }) => must !== 'met' && goal !== 'met'))
})

t.test('a full run measures what each bar asks about', async (t) => {
  for (const bar of bars) {
    const scenario = scenarios.find(({ name }) => name === bar.scenario)
    const subject = scenario?.cases(fullEffort).find(({ label }) => label === bar.subject)
    t.ok(
      subject?.metrics.some(({ name }) => name === bar.metric),
      bar.what,
    )
  }
})

t.test('writes limits as people do', async (t) => {
  t.equal(limitText({ of: 'ratio', least: 1.4 }, 'MB/s'), '≥ 1.4x')
  t.equal(limitText({ of: 'value', most: 10 }, 'KiB'), '≤ 10 KiB')
  t.equal(limitText({ of: 'worst', most: 0 }, 'bytes'), '0 bytes')
})
