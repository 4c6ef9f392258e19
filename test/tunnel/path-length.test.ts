import t from 'tap'
import { isLong, LONG_PATH_MS, measure, unknownLength } from '../../src/tunnel/path-length.ts'

const isLongAfter = (...roundTripsMs: number[]): boolean => {
  const path = unknownLength()
  for (const ms of roundTripsMs) measure(path, ms)
  return isLong(path)
}

t.test('the shortest round trip says how long a path is: longer ones met a busy moment', async (t) => {
  t.equal(isLongAfter(LONG_PATH_MS, LONG_PATH_MS + 90, LONG_PATH_MS), true)
  t.equal(isLongAfter(100, LONG_PATH_MS - 0.1, 100, 100), false)
})

t.test('a path is not long until enough is known of it', async (t) => {
  t.equal(isLongAfter(), false)
  t.equal(isLongAfter(100, 100), false)
  t.equal(isLongAfter(100, 100, 100), true)
})
