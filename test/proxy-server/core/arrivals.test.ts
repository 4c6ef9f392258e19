import t from 'tap'
import { createArrivals } from '../../../src/proxy-server/core/arrivals.ts'
import { manualClock } from '../../platform/manual-clock.ts'

function setup(forMs = 1_000) {
  const clock = manualClock()
  const arrivals = createArrivals(forMs, clock)
  const woken: string[] = []
  const wait = (cluster: string) => arrivals.wait(cluster, () => void woken.push(cluster))
  return { clock, arrivals, woken, wait }
}

t.test('wakes all who wait for a cluster when its agent comes, once, and nobody else', async (t) => {
  const { clock, arrivals, woken, wait } = setup()
  for (const cluster of ['a', 'a', 'b']) wait(cluster)
  arrivals.arrived('c')
  arrivals.arrived('a')
  arrivals.arrived('a')
  t.strictSame(woken, ['a', 'a'])
  t.equal(clock.waiting(), 1)
})

t.test('wakes who waits when the time is over, and has nobody wait from then on', async (t) => {
  const { clock, woken, wait } = setup()
  clock.advance(400)
  wait('a')
  clock.advance(599)
  t.strictSame(woken, [])
  clock.advance(1)
  t.strictSame(woken, ['a'])
  t.equal(wait('a'), undefined)
  t.equal(setup(0).wait('a'), undefined)
})

t.test('forgets who does not wait any more, and takes who waits anew while it wakes', async (t) => {
  const { clock, arrivals, woken, wait } = setup()
  wait('a')?.[Symbol.dispose]()
  arrivals.arrived('a')
  t.strictSame(woken, [])
  t.equal(clock.waiting(), 0)
  arrivals.wait('a', () => void wait('a'))
  arrivals.arrived('a')
  t.strictSame(woken, [], 'it waits for the next one')
  arrivals.arrived('a')
  t.strictSame(woken, ['a'])
})
