import t from 'tap'
import {
  LONGEST_REFUSAL_MS,
  REFUSAL_EVERY_MS,
  refusalPace,
  SHORTEST_REFUSAL_MS,
} from '../../../src/proxy-server/core/refusal-pace.ts'

t.test('who is refused now and then waits the shortest time', async (t) => {
  const next = refusalPace()
  t.equal(next(0), SHORTEST_REFUSAL_MS)
  t.equal(next(REFUSAL_EVERY_MS), SHORTEST_REFUSAL_MS)
  t.equal(next(60_000), SHORTEST_REFUSAL_MS)
})

t.test('those that come at once leave one after the other', async (t) => {
  const next = refusalPace()
  const waits = Array.from({ length: 4 }, () => next(5_000))
  t.strictSame(
    waits,
    [0, 1, 2, 3].map((before) => SHORTEST_REFUSAL_MS + before * REFUSAL_EVERY_MS),
  )
})

t.test('however many ask again at once, they ask no more often than that', async (t) => {
  const next = refusalPace()
  const leaving = Array.from({ length: 64 }, () => next(0))
  let refused = 0
  for (;;) {
    leaving.sort((one, other) => one - other)
    const nowMs = leaving.shift()!
    if (nowMs > 30_000) break
    refused++
    leaving.push(nowMs + next(nowMs))
  }
  t.equal(refused, 1 + (30_000 - SHORTEST_REFUSAL_MS) / REFUSAL_EVERY_MS)
})

t.test('nobody waits longer than the longest', async (t) => {
  const next = refusalPace()
  for (let count = 0; count < 500; count++) t.ok(next(0) <= LONGEST_REFUSAL_MS)
  t.equal(next(0), LONGEST_REFUSAL_MS)
  t.equal(next(LONGEST_REFUSAL_MS), SHORTEST_REFUSAL_MS, 'the queue is empty by then')
})
