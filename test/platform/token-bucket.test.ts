import t from 'tap'
import { type TakeToken, tokenBucket } from '../../src/platform/token-bucket.ts'

/** How many of `count` takes at one moment succeed. */
const taken = (take: TakeToken, nowMs: number, count: number): number =>
  Array.from({ length: count }, () => take(nowMs)).filter(Boolean).length

t.test('gives all its tokens at once and then as many as come back', async (t) => {
  const take = tokenBucket(200, 1_000)
  t.equal(taken(take, 5_000, 300), 200)
  t.equal(taken(take, 5_004, 10), 0)
  t.equal(taken(take, 5_005, 10), 1)
  t.equal(taken(take, 5_505, 300), 100)
})

t.test('never holds more than at the start, however long nobody asked', async (t) => {
  const take = tokenBucket(5, 1_000)
  t.equal(taken(take, 0, 10), 5)
  t.equal(taken(take, 1e9, 10), 5)
})

t.test('loses no token to rounding', async (t) => {
  for (const count of [1, 3, 7, 11, 60, 999, 1_000, 9_999]) {
    const take = tokenBucket(count, 60_000)
    t.equal(taken(take, 0.1, count + 2), count)
    t.equal(taken(take, 60_000.1, count + 2), count)
  }
})

t.test('a refusal costs nothing', async (t) => {
  const take = tokenBucket(1, 1_000)
  take(0)
  for (let now = 100; now < 1_000; now += 100) t.notOk(take(now))
  t.ok(take(1_000))
})

t.test('gains nothing from a clock that goes back', async (t) => {
  const take = tokenBucket(1, 1_000)
  t.ok(take(10_000))
  t.notOk(take(0))
  t.notOk(take(10_500))
  t.ok(take(11_000))
})

t.test('gives nothing when there is to be none', async (t) => {
  t.equal(taken(tokenBucket(0, 1_000), 1e6, 3), 0)
})
