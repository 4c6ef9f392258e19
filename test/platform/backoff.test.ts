import t from 'tap'
import { backoffMs } from '../../src/platform/backoff.ts'

const limits = { baseMs: 1_000, capMs: 10_000 }
const almostOne = 1 - Number.EPSILON
const ceilings = (count: number): number[] =>
  Array.from({ length: count }, (_, index) => Number(backoffMs(index + 1, limits, almostOne).toFixed(2)))

t.test('raises the ceiling by half with each failure, up to the cap', async (t) => {
  t.strictSame(ceilings(8), [1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000])
})

t.test('draws the wait evenly from a tenth of the ceiling to all of it', async (t) => {
  t.equal(backoffMs(1, limits, 0), 100)
  t.equal(backoffMs(1, limits, 0.5), 550)
  t.equal(backoffMs(9, limits, 0), 1_000)
})

t.test('starts again from the base after a success', async (t) => {
  t.equal(backoffMs(20, limits, 0.5), 5_500)
  t.equal(backoffMs(1, limits, 0.5), 550, 'the count of failures began anew')
})

t.test('stays at the cap after years of failures, and with a cap below the base', async (t) => {
  t.equal(backoffMs(10_000_000, limits, 0), 1_000)
  t.equal(backoffMs(1, { baseMs: 1_000, capMs: 200 }, 0), 20)
})
