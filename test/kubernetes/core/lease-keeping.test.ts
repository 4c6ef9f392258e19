import t from 'tap'
import {
  beginning,
  type LeaseKeeping,
  type LeaseKeepingEvent,
  type LeaseOrder,
  step,
} from '../../../src/kubernetes/core/lease-keeping.ts'

const MIDDLE = 0.5

function play(...events: LeaseKeepingEvent[]): { keeping: LeaseKeeping; asked: LeaseOrder[][] } {
  let keeping = beginning
  const asked = events.map((event) => {
    const [next, ...orders] = step(keeping, event, MIDDLE)
    keeping = next
    return orders
  })
  return { keeping, asked }
}

t.test('renews every 15 s and says nothing of it', async (t) => {
  const { asked } = play('renewed', 'timer', 'renewed', 'timer')
  const wait = { do: 'timer-after', ms: 15_000 }
  t.strictSame(asked, [[wait], [{ do: 'renew' }], [wait], [{ do: 'renew' }]])
})

t.test('tries on for as long as it fails, each wait longer up to a cap, and says so once', async (t) => {
  const { asked } = play(...Array.from({ length: 6 }, () => ['renewal-failed', 'timer'] as const).flat())
  t.strictSame(asked[0]?.[0], { do: 'say-lost' })
  const waits = asked.flat().flatMap((order) => (order.do === 'timer-after' ? [Math.round(order.ms)] : []))
  t.strictSame(waits, [550, 825, 1_238, 1_856, 2_750, 2_750])
  t.equal(asked.flat().filter((order) => order.do === 'say-lost').length, 1)
  t.ok(waits.reduce((sum, ms) => sum + ms) < 30_000 / 2, 'many tries before the lease expires')
})

t.test('says once that it is well again', async (t) => {
  const { keeping, asked } = play('renewal-failed', 'timer', 'renewal-failed', 'timer', 'renewed')
  t.strictSame(asked.at(-1), [{ do: 'say-kept' }, { do: 'timer-after', ms: 15_000 }])
  t.strictSame(keeping, { state: 'waiting', failures: 0 })
})

t.test('removes the lease at once when it waits for the next renewal', async (t) => {
  const { keeping, asked } = play('renewed', 'withdraw', 'removed')
  t.strictSame(asked.slice(1), [[{ do: 'stop-timer' }, { do: 'remove' }], [{ do: 'say-gone' }]])
  t.strictSame(keeping, { state: 'gone' })
})

for (const outcome of ['renewed', 'renewal-failed'] as const) {
  t.test(`lets a renewal under way end before it removes the lease: ${outcome}`, async (t) => {
    const { asked } = play('withdraw', outcome)
    t.strictSame(asked, [[], [{ do: 'remove' }]], 'a renewal that arrived late would bring the lease back')
  })
}

t.test('tries to remove it three times, then leaves it to expire', async (t) => {
  const { keeping, asked } = play(
    'renewed',
    'withdraw',
    'removal-failed',
    'timer',
    'removal-failed',
    'timer',
    'removal-failed',
  )
  t.equal(asked.flat().filter((order) => order.do === 'remove').length, 3)
  t.strictSame(asked.at(-1), [{ do: 'say-left' }])
  t.strictSame(keeping, { state: 'gone' })
})

t.test('has one request or one timer under way in every state that anything leads to, until it is gone', async (t) => {
  const events: LeaseKeepingEvent[] = ['renewed', 'renewal-failed', 'timer', 'withdraw', 'removed', 'removal-failed']
  type World = { readonly keeping: LeaseKeeping; readonly pending: 'renew' | 'remove' | 'timer' | 'nothing' }
  const answers: Readonly<Record<World['pending'], readonly LeaseKeepingEvent[]>> = {
    renew: ['renewed', 'renewal-failed'],
    remove: ['removed', 'removal-failed'],
    timer: ['timer'],
    nothing: [],
  }
  const seen = new Map<string, World>()
  const explore = (world: World, depth: number): void => {
    const key = JSON.stringify(world)
    if (seen.has(key) || depth > 40) return
    seen.set(key, world)
    t.equal(world.pending === 'nothing', world.keeping.state === 'gone', key)
    for (const event of events) {
      const [keeping, ...orders] = step(world.keeping, event, MIDDLE)
      const expected = event === 'withdraw' || answers[world.pending].includes(event)
      if (!expected) {
        t.strictSame([keeping, orders], [world.keeping, []], `${event} means nothing in ${key}`)
        continue
      }
      let pending = event === 'withdraw' ? world.pending : 'nothing'
      for (const order of orders) {
        if (order.do === 'stop-timer') {
          t.equal(pending, 'timer')
          pending = 'nothing'
        }
        if (order.do !== 'renew' && order.do !== 'remove' && order.do !== 'timer-after') continue
        t.equal(pending, 'nothing', `${event} in ${key} asks for one thing at a time`)
        pending = order.do === 'timer-after' ? 'timer' : order.do
      }
      if (event !== 'renewal-failed' || depth < 8) explore({ keeping, pending: pending as World['pending'] }, depth + 1)
    }
  }
  explore({ keeping: beginning, pending: 'renew' }, 0)
  t.ok(seen.size > 10, `${seen.size} states`)
})
