import t from 'tap'
import { formatDuration, parseDuration } from '../../src/platform/duration.ts'

t.test('reads every form that Go reads', async (t) => {
  const forms: Record<string, number> = {
    '0': 0,
    '+0': 0,
    '0s': 0,
    '1h': 3_600_000,
    '100ms': 100,
    '1h15m30.5s': 4_530_500,
    '.5s': 500,
    '1.s': 1_000,
    '-1.5h': -5_400_000,
    '+5s': 5_000,
    '10ns': 0.00001,
    '250us': 0.25,
    '250µs': 0.25,
    '250μs': 0.25,
    '0.1s0.2s': 300,
    '3s2h': 7_203_000,
  }
  for (const [text, ms] of Object.entries(forms)) t.equal(parseDuration(text), ms, text)
})

t.test('refuses what is no duration', async (t) => {
  for (const text of ['', '5', '1', '-', 's', '.s', '1x', '1h ', ' 1h', '1,5s', '1e3s', '1H', '1d', '00', '5s5']) {
    t.equal(parseDuration(text), undefined, JSON.stringify(text))
  }
})

t.test('writes durations as Go prints them', async (t) => {
  const forms: [number, string][] = [
    [0, '0s'],
    [0.000_001, '1ns'],
    [0.25, '250µs'],
    [1.5, '1.5ms'],
    [100, '100ms'],
    [25_000, '25s'],
    [90_000, '1m30s'],
    [3_600_000, '1h0m0s'],
    [4_530_500, '1h15m30.5s'],
    [-1_500, '-1.5s'],
  ]
  for (const [ms, text] of forms) t.equal(formatDuration(ms), text)
})

t.test('reads back what it wrote', async (t) => {
  for (const ms of [0, 0.001, 0.3, 1, 999.999, 1_000, 59_999, 60_000, 3_599_999, 3_600_000, 86_400_000]) {
    t.equal(parseDuration(formatDuration(ms)), ms, formatDuration(ms))
  }
})
