import t from 'tap'
import { watchLoopDelay } from '../../src/platform/profiling-loop-delay.ts'
import { manualClock } from './manual-clock.ts'

t.test('counts how much too late its timer came, by doubling ranges', async (t) => {
  const clock = manualClock()
  const delay = watchLoopDelay(clock)
  t.strictSame(delay.samples(), [])
  for (const ms of [10, 11.9, 12, 14.5, 30, 41.5, 10]) clock.advance(ms)
  t.strictSame(
    delay.samples().map(({ stack, values }) => [stack.map(({ name }) => name).join(' < '), ...values]),
    [
      ['held up for 2 ms to 4 ms < event loop', 1, 2_000_000],
      ['held up for 4 ms to 8 ms < event loop', 1, 4_500_000],
      ['held up for 16 ms to 32 ms < event loop', 2, 51_500_000],
    ],
  )
})

t.test('stops looking when it is disposed', async (t) => {
  const clock = manualClock()
  const delay = watchLoopDelay(clock)
  clock.advance(10)
  t.equal(clock.waiting(), 1)
  delay[Symbol.dispose]()
  t.equal(clock.waiting(), 0)
})
