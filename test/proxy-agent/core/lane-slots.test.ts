import t from 'tap'
import {
  ASK_TIMEOUT_MS,
  empty,
  emptySlot,
  enter,
  FEW_TRIES,
  fail,
  nextTryMs,
  REST_MS,
  slotsToAsk,
} from '../../../src/proxy-agent/core/lane-slots.ts'

t.test('asks for as many as are wanted, once each', async (t) => {
  const slots = [emptySlot(), emptySlot(), emptySlot()]
  t.strictSame(slotsToAsk(slots, 2, 0), slots.slice(0, 2))
  t.strictSame(slotsToAsk(slots, 0, 0), [])
  for (const slot of slotsToAsk(slots, 2, 0)) enter(slot, 'asked', 0)
  t.strictSame(slotsToAsk(slots, 2, 1), [])
  t.strictSame(slotsToAsk(slots, 3, 1), slots.slice(2))
  enter(slots[0]!, 'joining', 5)
  enter(slots[1]!, 'open', 5)
  t.strictSame(slotsToAsk(slots, 2, 2 * ASK_TIMEOUT_MS), [])
})

t.test('asks again when no token came in time', async (t) => {
  const slot = emptySlot()
  enter(slot, 'asked', 100)
  t.strictSame(slotsToAsk([slot], 1, 100 + ASK_TIMEOUT_MS - 1), [])
  t.strictSame(slotsToAsk([slot], 1, 100 + ASK_TIMEOUT_MS), [slot])
})

t.test('waits longer after each failure, and long after a few', async (t) => {
  const slot = emptySlot()
  const waits: number[] = []
  for (let tries = 1; tries <= FEW_TRIES + 1; tries++) {
    fail(slot, 1_000, 0.5)
    waits.push(slot.notBeforeMs - 1_000)
    t.strictSame(slotsToAsk([slot], 1, slot.notBeforeMs - 1), [])
    t.strictSame(slotsToAsk([slot], 1, slot.notBeforeMs), [slot])
  }
  t.strictSame(waits.slice(-2), [REST_MS, REST_MS])
  const growing = waits.slice(0, -2)
  t.strictSame(
    growing,
    growing.toSorted((a, b) => a - b),
  )
  t.ok(growing[0]! < 500 && growing.at(-1)! < 60_000, `${growing}`)
})

t.test('tells when the next of those that failed may be tried', async (t) => {
  const slots = [emptySlot(), emptySlot(), emptySlot()]
  t.equal(nextTryMs(slots, 3, 1_000), Number.POSITIVE_INFINITY, 'they may now')
  for (const slot of slots) slot.notBeforeMs = 1_500
  slots[0]!.notBeforeMs = 3_000
  t.equal(nextTryMs(slots, 1, 1_000), 3_000)
  t.equal(nextTryMs(slots, 3, 1_000), 1_500)
  t.equal(nextTryMs(slots, 3, 1_500), 3_000)
  enter(slots[0]!, 'open', 1_000)
  t.equal(nextTryMs(slots, 1, 1_000), Number.POSITIVE_INFINITY)
})

t.test('a lane that stood for a while makes up for the failures before it, one that did not does not', async (t) => {
  const slot = emptySlot()
  for (let tries = 1; tries < FEW_TRIES; tries++) fail(slot, 0, 0)
  enter(slot, 'open', 0)
  fail(slot, 60_000, 0)
  t.equal(slot.failures, 1)
  enter(slot, 'open', 70_000)
  fail(slot, 129_999, 0)
  t.equal(slot.failures, 2)
})

t.test('one that was closed because nothing used it may be opened again at once', async (t) => {
  const slot = emptySlot()
  fail(slot, 0, 0)
  enter(slot, 'open', 1_000)
  empty(slot)
  t.strictSame([slot.failures, slotsToAsk([slot], 1, 1_000)], [0, [slot]])
})
