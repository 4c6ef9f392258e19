import t from 'tap'
import { compare, median, summarize } from '../../bench/statistics.ts'

t.test(
  'takes the middle of an odd number of rounds and the mean of the two middle ones of an even number',
  async (t) => {
    t.equal(median([9, 1, 5]), 5)
    t.equal(median([9, 1, 5, 6]), 5.5)
  },
)

t.test('counts no answer as slower than any number', async (t) => {
  t.strictSame(summarize([3, 'no answer', 4]), { median: 4, least: 3, most: 'no answer' })
  t.strictSame(summarize(['no answer', 'no answer', 4]), { median: 'no answer', least: 4, most: 'no answer' })
})

t.test('compares the readings of the same round, so that drift of the machine cancels', async (t) => {
  t.strictSame(compare([10, 20, 40], [5, 10, 20]), { median: 2, least: 2, most: 2 })
})

t.test('leaves rounds out of the ratio in which one of the two has no number', async (t) => {
  t.strictSame(compare([10, undefined, 'no answer', 30], [5, 10, 20, 10]), { median: 2.5, least: 2, most: 3 })
  t.equal(compare([10], ['no answer']), undefined)
  t.equal(compare([10], [0]), undefined)
})
