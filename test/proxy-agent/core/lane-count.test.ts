import t from 'tap'
import { LONG_PATH_LANES, laneCount, SHORT_PATH_LANES } from '../../../src/proxy-agent/core/lane-count.ts'
import { LONG_PATH_MS, measure, type PathLength, unknownLength } from '../../../src/tunnel/path-length.ts'

function measured(...roundTripsMs: number[]): PathLength {
  const path = unknownLength()
  for (const ms of roundTripsMs) measure(path, ms)
  return path
}

t.test('as many as were asked for, whatever the path', async (t) => {
  for (const count of [0, 1, 16]) {
    t.equal(laneCount(count, measured()), count)
    t.equal(laneCount(count, measured(100, 100, 100)), count)
  }
})

t.test('by the length of the path where that is left to it', async (t) => {
  t.equal(laneCount('auto', measured(LONG_PATH_MS + 5, LONG_PATH_MS - 0.1, LONG_PATH_MS + 90)), SHORT_PATH_LANES)
  t.equal(laneCount('auto', measured(LONG_PATH_MS, LONG_PATH_MS + 90, LONG_PATH_MS)), LONG_PATH_LANES)
})

t.test('as on a short path until enough is known', async (t) => {
  t.equal(laneCount('auto', measured()), SHORT_PATH_LANES)
  t.equal(laneCount('auto', measured(100, 100)), SHORT_PATH_LANES)
  t.equal(laneCount('auto', measured(100, 100, 100)), LONG_PATH_LANES)
})
