import t from 'tap'
import {
  answered,
  failed,
  forgetRepeats,
  type HostTries,
  hasFound,
  lost,
  noTries,
  released,
  waitMs,
  waitOfLeavingMs,
} from '../../../src/proxy-agent/core/host-tries.ts'

const limits = { baseMs: 1_000, capMs: 60_000 }
const atPace = { forever: false, hasJustFound: false }
const nobody = (): boolean => false
const anybody = (): boolean => true
/** The longest wait. */
const ceilingMs = (tries: HostTries, eagerness = atPace): number => waitMs(tries, eagerness, limits, 1)

t.test('waits longer with each failure, and an answer ends that', async (t) => {
  const tries = noTries()
  t.equal(waitMs(tries, atPace, limits, 0), 1_000)
  t.equal(ceilingMs(tries), 1_100)
  failed(tries)
  t.equal(waitMs(tries, atPace, limits, 0), 100)
  t.equal(ceilingMs(tries), 1_000)
  failed(tries)
  t.equal(ceilingMs(tries), 1_500)
  for (let count = 0; count < 100; count++) failed(tries)
  t.equal(ceilingMs(tries), limits.capMs)
  answered(tries, 'a', nobody)
  t.equal(ceilingMs(tries), 1_100)
})

t.test('answers in vain make looks rarer, but not at a balancer and not for ever', async (t) => {
  const tries = noTries()
  answered(tries, 'a', nobody)
  answered(tries, 'a', anybody)
  answered(tries, 'a', anybody)
  t.equal(waitMs(tries, atPace, limits, 0), 2_250)
  t.equal(waitMs(tries, { ...atPace, forever: true }, limits, 0), 1_000)
  forgetRepeats(tries)
  t.equal(waitMs(tries, atPace, limits, 0), 1_000)
  answered(tries, 'b', anybody)
  t.equal(waitMs(tries, atPace, limits, 0), 1_000, 'it is a balancer')
})

t.test('a server that came back under another name makes no balancer', async (t) => {
  const tries = noTries()
  answered(tries, 'a', nobody)
  answered(tries, 'b', nobody)
  answered(tries, 'b', (id) => id === 'b')
  t.equal(waitMs(tries, atPace, limits, 0), 1_500)
})

t.test('tells of a server that was found and is held, and looks again soon', async (t) => {
  const tries = noTries()
  t.notOk(hasFound(tries, anybody))
  answered(tries, 'a', nobody)
  t.ok(hasFound(tries, anybody))
  t.notOk(hasFound(tries, nobody))
  t.equal(waitMs(tries, { ...atPace, hasJustFound: true }, limits, 0), 100)
  answered(tries, 'a', anybody)
  t.notOk(hasFound(tries, anybody))
})

t.test('a server that did not stay is a setback, one that did ends them', async (t) => {
  const tries = noTries()
  released(tries, 29_999, limits)
  released(tries, 29_999, limits)
  t.equal(ceilingMs(tries), 1_500)
  released(tries, 30_000, limits)
  t.equal(ceilingMs(tries), 1_100)
  released(tries, 10_000, { ...limits, capMs: 10_000 })
  t.equal(ceilingMs(tries), 1_100, 'the longest back-off is shorter than half a minute')
})

t.test('comes back spread out when one that stayed is lost, and no later than a setback has it', async (t) => {
  const tries = noTries()
  lost(tries)
  lost(tries)
  t.equal(waitMs(tries, atPace, limits, 0), 100)
  t.equal(ceilingMs(tries), 1_000)
  const flapping = noTries()
  released(flapping, 0, limits)
  lost(flapping)
  t.equal(ceilingMs(flapping), 1_000)
})

t.test(
  'heeds what a server asks for that leaves, within the longest back-off and not below its setbacks',
  async (t) => {
    const tries = noTries()
    t.equal(waitOfLeavingMs(tries, 5_000, limits, 0), 5_000)
    t.equal(waitOfLeavingMs(tries, -1, limits, 0), 0)
    t.equal(waitOfLeavingMs(tries, 10 ** 9, limits, 0), 60_000)
    released(tries, 0, limits)
    t.equal(waitOfLeavingMs(tries, 0, limits, 1), 1_000)
    t.equal(waitOfLeavingMs(tries, 5_000, limits, 1), 5_000)
  },
)
