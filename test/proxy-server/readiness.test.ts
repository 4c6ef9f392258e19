/** Which checks a server is ready by, and what makes each of them fail. */
import t from 'tap'
import { AGENTS_SETTLE_MS } from '../../src/proxy-server/core/agents-settled.ts'
import { createReadiness } from '../../src/proxy-server/readiness.ts'
import type { Member } from '../../src/proxy-server/worker-team.ts'
import { manualClock } from '../platform/manual-clock.ts'

type States = Member['state'][]

function setup(tenancy: 'single' | 'multi', states?: States) {
  const clock = manualClock()
  const shutdown = new AbortController()
  const server = { hasAgent: false }
  const readiness = createReadiness(
    { tenancy },
    {
      clock,
      shutdown: { drain: shutdown.signal },
      hasAgent: () => server.hasAgent,
      ...(states && { workers: () => states.map((state) => ({ state })) }),
    },
  )
  const failing = (): string[] => readiness.checks.flatMap(({ name, problem }) => (problem() ? [name] : []))
  const joins = (): void =>
    readiness.take({ is: 'joined', stream: { server: 's', number: 1 }, cluster: 'eu-1', agent: 'a' })
  const workerEnds = (at: number): void => {
    states?.splice(at, 1)
    readiness.take({ is: 'server-gone', server: 'w' })
  }
  const comesUp = (at: number): void => {
    states?.splice(at, 1, 'up')
    readiness.workerUp()
  }
  return { clock, shutdown, server, readiness, failing, joins, workerEnds, comesUp }
}

t.test('a server of one cluster is ready while it has an agent, however long it has waited for one', async (t) => {
  const { clock, shutdown, server, readiness, failing, joins } = setup('single', ['up'])
  clock.advance(AGENTS_SETTLE_MS)
  joins()
  t.strictSame(failing(), ['agent-connected'])
  server.hasAgent = true
  t.strictSame(failing(), [])
  server.hasAgent = false
  t.strictSame(failing(), ['agent-connected'])
  shutdown.abort()
  t.strictSame(failing(), ['agent-connected', 'not-shutting-down'])
  t.strictSame(
    readiness.checks.map(({ name }) => name),
    ['agent-connected', 'not-shutting-down'],
  )
})

t.test('a server of many clusters is ready from its first agent on, until it shuts down', async (t) => {
  const { shutdown, readiness, failing, joins } = setup('multi')
  t.strictSame(failing(), ['agents-settled'])
  readiness.take({ is: 'known', clusters: ['eu-1'] })
  t.strictSame(failing(), ['agents-settled'])
  joins()
  t.strictSame(failing(), [])
  readiness.take({ is: 'left', stream: { server: 's', number: 1 }, reason: 'closed' })
  t.strictSame(failing(), [])
  shutdown.abort()
  t.strictSame(failing(), ['not-shutting-down'])
})

t.test('the time for agents to come is counted from when they can', async (t) => {
  const { clock, readiness, failing } = setup('multi')
  clock.advance(AGENTS_SETTLE_MS)
  readiness.begin()
  t.strictSame(failing(), ['agents-settled'])
  clock.advance(AGENTS_SETTLE_MS)
  t.strictSame(failing(), [])
})

t.test('a worker that ends takes nothing from the others; when none is up, agents have their time anew', async (t) => {
  const states: States = ['up', 'leaving']
  const { clock, failing, joins, workerEnds, comesUp } = setup('multi', states)
  joins()
  workerEnds(0)
  t.strictSame(failing(), [], 'the one that leaves serves still')
  states.push('starting')
  workerEnds(0)
  t.strictSame(failing(), ['agents-settled', 'worker-up'])
  clock.advance(AGENTS_SETTLE_MS)
  comesUp(0)
  t.strictSame(failing(), ['agents-settled'], 'they could not come before')
  clock.advance(AGENTS_SETTLE_MS)
  t.strictSame(failing(), [])
  states.push('starting')
  comesUp(1)
  t.strictSame(failing(), [], 'the other one was there')
  states.pop()
  states[0] = 'starting'
  t.strictSame(failing(), ['worker-up'])
})

t.test('a worker that is dismissed, who is given nobody any more, is none that is up', async (t) => {
  const states: States = ['up', 'dismissed']
  const { failing, joins, workerEnds } = setup('multi', states)
  joins()
  t.strictSame(failing(), [])
  workerEnds(0)
  t.strictSame(failing(), ['agents-settled', 'worker-up'])
})
