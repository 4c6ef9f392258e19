import t, { type Test } from 'tap'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import type { FleetFact } from '../../src/proxy-server/core/fleet-feed.ts'
import { createFleetFacts, type FleetFacts } from '../../src/proxy-server/fleet-facts.ts'
import { type ManualClock, manualClock } from '../platform/manual-clock.ts'

const stream = { server: 's', number: 1 }

type Setup = {
  readonly clock: ManualClock
  readonly facts: FleetFacts
  readonly told: FleetFact[]
  setClock: (ms: number) => void
}

function setup(t: Test): Setup {
  const manual = manualClock()
  let stepMs = 0
  const clock = { ...manual, unixMs: () => manual.unixMs() + stepMs }
  const told: FleetFact[] = []
  const facts = createFleetFacts({ serverId: 's', heartbeatTimeoutMs: 12_000, clock, tell: (fact) => told.push(fact) })
  t.teardown(() => facts[Symbol.dispose]())
  const setClock = (ms: number): void => {
    stepMs += ms
  }
  return { clock: manual, facts, told, setClock }
}

const agentOf = (heardMs: number): AgentStream =>
  ({ cluster: 'eu-1', agentId: 'a', record: { heardMs, heardUnixMs: heardMs } }) as AgentStream

t.test('an agent is late after three quarters of the time, and heard again', async (t) => {
  const { clock, facts, told } = setup(t)
  const agent = agentOf(0)
  facts.joined(agent)
  for (let second = 0; second < 9; second++) clock.advance(1_000)
  t.strictSame(told.splice(0), [{ is: 'joined', stream, cluster: 'eu-1', agent: 'a' }])
  clock.advance(1_000)
  clock.advance(1_000)
  t.strictSame(told.splice(0), [{ is: 'late', stream }], 'told once')
  agent.record.heardMs = clock.now()
  clock.advance(1_000)
  t.strictSame(told.splice(0), [{ is: 'heard', stream }])
  facts.left(agent, 'lost')
  facts.left(agent, 'lost')
  facts.draining(agent)
  t.strictSame(told, [{ is: 'left', stream, reason: 'lost' }], 'and nothing more of it')
})

t.test('a clock that is set makes nobody late, nor hides who is', async (t) => {
  const { clock, facts, told, setClock } = setup(t)
  const agent = agentOf(0)
  facts.joined(agent)
  told.length = 0
  setClock(3_600_000)
  clock.advance(1_000)
  t.strictSame(told, [])
  setClock(-7_200_000)
  for (let second = 0; second < 9; second++) clock.advance(1_000)
  t.strictSame(told, [{ is: 'late', stream }])
})

t.test('cuts the words of who is refused', async (t) => {
  const { facts, told } = setup(t)
  facts.refused(undefined, undefined, 'metadata', 'x'.repeat(10_000))
  t.match(told, [{ is: 'refused', source: '', why: 'metadata', reason: /^x{512}$/ }])
})
