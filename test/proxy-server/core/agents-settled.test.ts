import t from 'tap'
import { AGENTS_SETTLE_MS, createAgentsSettled } from '../../../src/proxy-server/core/agents-settled.ts'
import { manualClock } from '../../platform/manual-clock.ts'

function setup() {
  const clock = manualClock()
  return { clock, settled: createAgentsSettled(clock) }
}

t.test('waits for the first agent until its time is over, and says for how long', async (t) => {
  const { clock, settled } = setup()
  t.equal(settled.problem(), 'waiting for the first agent, for 15 s at most')
  clock.advance(AGENTS_SETTLE_MS - 1)
  t.equal(settled.problem(), 'waiting for the first agent, for 1 s at most')
  clock.advance(1)
  t.equal(settled.problem(), undefined)
})

t.test('waits for nobody any more when an agent has come', async (t) => {
  const { clock, settled } = setup()
  settled.arrived()
  t.equal(settled.problem(), undefined)
  clock.advance(10 * AGENTS_SETTLE_MS)
  t.equal(settled.problem(), undefined)
})

t.test('has its whole time from when it begins anew, also after agents had come', async (t) => {
  for (const arrive of [false, true]) {
    const { clock, settled } = setup()
    clock.advance(AGENTS_SETTLE_MS - 1)
    if (arrive) settled.arrived()
    settled.begin()
    clock.advance(AGENTS_SETTLE_MS - 1)
    t.match(settled.problem(), /for 1 s/)
    clock.advance(1)
    t.equal(settled.problem(), undefined)
  }
})
