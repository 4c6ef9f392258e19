import t from 'tap'
import type { ClusterLimits } from '../../src/clusters/cluster.ts'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import type { Failure } from '../../src/proxy-server/core/answers.ts'
import { createArrivals } from '../../src/proxy-server/core/arrivals.ts'
import { createClusters } from '../../src/proxy-server/core/clusters.ts'
import { REFUSAL_EVERY_MS, SHORTEST_REFUSAL_MS } from '../../src/proxy-server/core/refusal-pace.ts'
import type { Strategy } from '../../src/proxy-server/core/strategies.ts'
import { createTenant } from '../../src/proxy-server/core/tenant.ts'
import { createDialing, type DialDeps } from '../../src/proxy-server/dialing.ts'
import { createBudget } from '../../src/tunnel/budget.ts'
import type { Int64 } from '../../src/tunnel/packet.ts'
import { cluster } from '../clusters/cluster.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { hearing, type OneSession, oneSession } from '../tunnel/one-session.ts'
import { recordedMetrics } from './recorded-metrics.ts'

/** A real session over a recorded carrier, dressed as an agent. */
type TestAgent = OneSession & {
  readonly agent: AgentStream
  /** What happens when it is pushed the policy. */
  readonly whenPushed: (does: () => void) => void
  /** The dials that reached it since the last look. */
  readonly dialled: () => Int64[]
  readonly cancelled: () => Int64[]
  readonly connect: (random: Int64, connectId: number) => void
  readonly refuse: (random: Int64, text: string) => void
  readonly lose: (reason?: string) => void
}

function testAgent(
  agentId: string,
  { pendingDials = 10_000, hosts = [] as string[], judgesAddresses = true } = {},
): TestAgent {
  const one = oneSession({ role: 'server', limits: { pendingDials } })
  let pushing = (): void => {}
  const agent = {
    agentId,
    cluster: 'default',
    draining: false,
    hosts: new Set(hosts),
    defaultRoute: false,
    session: one.session,
    judgesAddresses,
    pushPolicy: () => pushing(),
  } as Partial<AgentStream> as AgentStream
  const frames = { DIAL_REQ: [] as Int64[], DIAL_CLS: [] as Int64[] }
  const take = (type: 'DIAL_REQ' | 'DIAL_CLS'): Int64[] => {
    for (const frame of one.carrier.frames()) {
      if (frame.type === 'DIAL_REQ' || frame.type === 'DIAL_CLS') frames[frame.type].push(frame.random)
    }
    return frames[type].splice(0)
  }
  return {
    ...one,
    agent,
    whenPushed: (does) => {
      pushing = does
    },
    dialled: () => take('DIAL_REQ'),
    cancelled: () => take('DIAL_CLS'),
    connect: (random, connectId) =>
      one.session.receive(one.carrier, { type: 'DIAL_RSP', error: '', connectId, random }),
    refuse: (random, error) => one.session.receive(one.carrier, { type: 'DIAL_RSP', error, connectId: 0, random }),
    lose: (reason = 'the agent stream ended') => one.session.lost(one.carrier, reason),
  }
}

type WorldOptions = {
  readonly timeoutMs?: number
  readonly maxPendingPerFrontend?: number
  readonly strategies?: readonly Strategy[]
  /** Of the cluster `default`, on a server of many. */
  readonly limits?: Partial<ClusterLimits>
  readonly authorise?: DialDeps['authorise']
  /** How long after the start agents are waited for: milliseconds. */
  readonly settleMs?: number
}

function setup(agents: readonly TestAgent[], options: WorldOptions = {}) {
  const clock = manualClock()
  const metrics = recordedMetrics()
  const clusters = createClusters<AgentStream>(options.strategies ?? ['default'])
  for (const { agent } of agents) clusters.add('default', agent)
  let number = 100
  const limits = options.limits && cluster('default', { limits: options.limits }).limits
  const tenant = limits && createTenant('default', limits, { processBudget: createBudget(1), after: clock.after })
  const refused: string[] = []
  const tenants = {
    get: (cluster: string) => (cluster === 'default' ? tenant : undefined),
    refused: (cluster: string, limit: string) => void refused.push(`${cluster} ${limit}`),
  }
  const arrivals = options.settleMs === undefined ? undefined : createArrivals(options.settleMs, clock)
  const join = ({ agent }: TestAgent): void => {
    clusters.add('default', agent)
    arrivals?.arrived('default')
  }
  const dialing = createDialing({
    clusters,
    clock,
    metrics,
    random: () => 0,
    dialNumber: () => number++,
    timeoutMs: options.timeoutMs ?? 30_000,
    maxPendingPerFrontend: options.maxPendingPerFrontend ?? 10,
    ...(tenant && { tenants }),
    ...(arrivals && { arrivals }),
    authorise: options.authorise ?? (() => ({ kind: 'allowed' })),
  })
  const dial = (principal = 'user/alice', cluster = 'default') => {
    const outcomes: (string | Failure)[] = []
    const asked: string[] = []
    const cancel = dialing.dial(cluster, principal, '10.0.0.1:443', {
      connected(connection, agent) {
        outcomes.push(`connected ${connection.id} by ${agent.agentId}`)
        return hearing().events
      },
      failed: (failure) => void outcomes.push(failure),
      asking: ({ agent, random }) => void asked.push(`${agent.agentId} ${random}`),
    })
    return { outcomes, asked, cancel }
  }
  return { clock, metrics, clusters, dial, tenant, refused, join }
}

/** Nothing is left of any dial: no timer, no table, no count. */
function clean(t: Tap, world: ReturnType<typeof setup>, ...agents: TestAgent[]): void {
  t.equal(world.clock.waiting(), 0, 'no timer')
  for (const { session } of agents) t.equal(session.dialCount(), 0, 'no dial in a table')
}
type Tap = Pick<typeof t, 'equal'>

t.test('has the agent dial and hands over the connection', async (t) => {
  const a = testAgent('a')
  const world = setup([a])
  const { outcomes, cancel } = world.dial()
  t.match(a.carrier.frames(), [{ type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:443', random: 100 }])
  world.clock.advance(70)
  a.connect(100, 1)
  t.strictSame(outcomes, ['connected 1 by a'])
  t.strictSame(world.metrics.counted, [['dialSucceeded', 70]])
  cancel()
  t.equal(a.session.connectionCount(), 1, 'a cancel that comes too late breaks nothing')
  t.strictSame(a.carrier.frames(), [])
  clean(t, world, a)
  world.clock.advance(60_000)
  t.equal(outcomes.length, 1)
})

t.test('fails where no agent is, and in a cluster of which none is', async (t) => {
  const world = setup([testAgent('a')])
  const { outcomes } = world.dial('user/alice', 'eu-1')
  t.strictSame(outcomes, [{ kind: 'no-agent' }])
  t.strictSame(world.metrics.counted, [['dialFailed', 'no_agent']])
  clean(t, world)
})

t.test("passes on the agent's words", async (t) => {
  const a = testAgent('a')
  const world = setup([a])
  const { outcomes, cancel } = world.dial()
  a.refuse(100, 'dial tcp 10.0.0.1:443: connect: connection refused')
  cancel()
  t.strictSame(outcomes, [{ kind: 'dial-error', text: 'dial tcp 10.0.0.1:443: connect: connection refused' }])
  t.strictSame(world.metrics.counted, [['dialFailed', 'error_response']])
  clean(t, world, a)
})

t.test('gives up at the deadline, not before, and tells the agent', async (t) => {
  const a = testAgent('a')
  const world = setup([a])
  const { outcomes, cancel } = world.dial()
  world.clock.advance(29_999)
  t.strictSame([outcomes, a.cancelled()], [[], []])
  world.clock.advance(1)
  t.strictSame(outcomes, [{ kind: 'dial-timeout' }])
  t.strictSame(a.cancelled(), [100])
  t.strictSame(world.metrics.counted, [['dialFailed', 'backend_dial_timeout']])
  cancel()
  a.refuse(100, 'too late')
  a.connect(100, 1)
  t.strictSame(outcomes.length, 1)
  t.equal(world.metrics.counted.length, 1)
  clean(t, world, a)
})

t.test('a connection that comes after the deadline is closed, not leaked', async (t) => {
  const a = testAgent('a')
  const world = setup([a])
  world.dial()
  world.clock.advance(30_000)
  a.carrier.frames()
  a.connect(100, 1)
  t.equal(a.session.connectionCount(), 0)
  t.match(a.carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1 }])
})

t.test('waits for ever when the deadline is turned off', async (t) => {
  const a = testAgent('a')
  const world = setup([a], { timeoutMs: 0 })
  const { outcomes } = world.dial()
  t.equal(world.clock.waiting(), 0)
  world.clock.advance(1e9)
  t.strictSame(outcomes, [])
  a.connect(100, 1)
  t.strictSame(outcomes, ['connected 1 by a'])
})

t.test('a cancelled dial is heard of no more, and the agent is told', async (t) => {
  const a = testAgent('a')
  const world = setup([a])
  const { outcomes, cancel } = world.dial()
  cancel()
  cancel()
  t.strictSame(a.cancelled(), [100])
  a.refuse(100, 'too late')
  a.connect(100, 1)
  a.lose()
  world.clock.advance(60_000)
  t.strictSame(outcomes, [])
  t.strictSame(world.metrics.counted, [['dialFailed', 'frontend_close']])
  clean(t, world, a)
})

t.test('tries another agent once when the first one is lost before it answers', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b')]
  const world = setup([a, b])
  const { outcomes, asked } = world.dial()
  t.strictSame([a.dialled(), b.dialled()], [[100], []])
  a.lose()
  t.strictSame(b.dialled(), [101], 'under a number of its own')
  t.strictSame(asked, ['a 100', 'b 101'], 'of which the waiter is told')
  b.connect(101, 1)
  t.strictSame(outcomes, ['connected 1 by b'])
  t.strictSame(world.metrics.counted, [['dialSucceeded', 0]])
  clean(t, world, a, b)
})

t.test('tries at most two agents, and tells how the second was lost', async (t) => {
  const agents = ['a', 'b', 'c'].map((id) => testAgent(id))
  const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent]
  const world = setup(agents)
  const { outcomes } = world.dial()
  a.lose('the first reason')
  b.lose('the second reason')
  t.strictSame(outcomes, [{ kind: 'agent-lost', cause: 'the second reason' }])
  t.strictSame(c.dialled(), [])
  t.strictSame(world.metrics.counted, [['dialFailed', 'backend_close']])
  clean(t, world, ...agents)
})

t.test('tells how the agent was lost when there is no other', async (t) => {
  const a = testAgent('a')
  const world = setup([a])
  const { outcomes } = world.dial()
  a.lose('nothing heard from the agent for too long')
  t.strictSame(outcomes, [{ kind: 'agent-lost', cause: 'nothing heard from the agent for too long' }])
  t.strictSame(world.metrics.counted, [['dialFailed', 'backend_close']])
  clean(t, world, a)
})

t.test('takes a second stream of the same agent id for another agent', async (t) => {
  const [old, anew] = [testAgent('a'), testAgent('a')]
  const world = setup([old, anew])
  const { outcomes } = world.dial()
  old.lose()
  t.strictSame(anew.dialled(), [101])
  anew.connect(101, 1)
  t.strictSame(outcomes, ['connected 1 by a'])
})

t.test('passes over an agent whose stream has ended but is still in the pool', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b')]
  a.lose()
  const world = setup([a, b])
  const { outcomes, cancel } = world.dial()
  t.strictSame(b.dialled(), [100 + 1])
  cancel()
  t.strictSame([outcomes, b.cancelled()], [[], [101]], 'the dial that is cancelled is the second one')
  clean(t, world, a, b)
})

t.test('both attempts share one deadline', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b')]
  const world = setup([a, b])
  const { outcomes } = world.dial()
  world.clock.advance(20_000)
  a.lose()
  world.clock.advance(9_999)
  t.strictSame(outcomes, [])
  world.clock.advance(1)
  t.strictSame(outcomes, [{ kind: 'dial-timeout' }])
  t.strictSame([a.cancelled(), b.cancelled()], [[], [101]])
  clean(t, world, a, b)
})

t.test('an agent lost after the deadline is not replaced', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b')]
  const world = setup([a, b])
  const { outcomes } = world.dial()
  world.clock.advance(30_000)
  a.lose()
  t.equal(outcomes.length, 1)
  t.strictSame(b.dialled(), [])
})

t.test('refuses the dial over the limit of an agent', async (t) => {
  const a = testAgent('a', { pendingDials: 1 })
  const world = setup([a])
  const first = world.dial()
  const second = world.dial()
  t.strictSame(second.outcomes, [{ kind: 'too-many-dials' }])
  t.equal(world.clock.waiting(), 1, 'only the first one is waited for')
  t.strictSame(world.metrics.counted, [['dialRefused', 'stream']])
  a.connect(100, 1)
  t.strictSame(first.outcomes, ['connected 1 by a'])
  clean(t, world, a)
})

t.test('tries another agent when the first one is at its limit', async (t) => {
  const [a, b] = [testAgent('a', { pendingDials: 1 }), testAgent('b', { pendingDials: 1 })]
  const world = setup([a, b])
  const dials = [world.dial(), world.dial(), world.dial()]
  t.strictSame([a.dialled(), b.dialled()], [[100], [102]], 'the second one under a number of its own')
  t.match(
    dials.map(({ outcomes }) => outcomes),
    [[], [], [{ kind: 'too-many-dials' }]],
    'and none when that one is, too',
  )
  t.strictSame(world.metrics.counted, [['dialRefused', 'stream']], 'counted when nobody was left')
  dials[1]?.cancel()
  t.strictSame(b.cancelled(), [102])
  a.connect(100, 1)
  t.strictSame(dials[0]?.outcomes, ['connected 1 by a'])
  clean(t, world, a, b)
})

t.test('says how the second agent was lost when the first one was at its limit', async (t) => {
  const [a, b] = [testAgent('a', { pendingDials: 1 }), testAgent('b')]
  const world = setup([a, b])
  world.dial()
  const { outcomes } = world.dial()
  b.lose('gone')
  t.strictSame(outcomes, [{ kind: 'agent-lost', cause: 'gone' }])
  t.strictSame(world.metrics.counted, [['dialFailed', 'backend_close']])
})

t.test('says that there are too many dials when the agent after the lost one is at its limit', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b', { pendingDials: 1 })]
  const world = setup([a, b])
  world.clusters.remove('default', a.agent)
  world.dial()
  world.clusters.add('default', a.agent)
  world.clusters.remove('default', b.agent)
  const { outcomes } = world.dial()
  world.clusters.add('default', b.agent)
  a.lose()
  t.strictSame(outcomes, [{ kind: 'too-many-dials' }])
  t.strictSame(world.metrics.counted, [['dialRefused', 'stream']])
})

t.test('both attempts go by the strategies, the second without the first agent', async (t) => {
  const [other, node, twin] = [
    testAgent('other'),
    testAgent('node', { hosts: ['10.0.0.1'] }),
    testAgent('twin', { hosts: ['10.0.0.1'] }),
  ]
  const world = setup([other, node, twin], { strategies: ['destHost', 'default'] })
  world.dial()
  t.strictSame([other.dialled(), node.dialled(), twin.dialled()], [[], [100], []])
  node.lose()
  t.strictSame([other.dialled(), twin.dialled()], [[], [101]])
  world.clusters.remove('default', node.agent)
  world.dial()
  t.strictSame(twin.dialled(), [102])
  twin.lose()
  t.strictSame(other.dialled(), [103], 'by the next strategy')
})

t.test('bounds the dials of one principal, and counts what it refuses', async (t) => {
  const a = testAgent('a')
  const world = setup([a], { maxPendingPerFrontend: 2 })
  const dials = [world.dial(), world.dial(), world.dial()]
  t.strictSame(
    dials.map(({ outcomes }) => outcomes),
    [[], [], [{ kind: 'too-many-dials' }]],
  )
  t.strictSame(a.dialled(), [100, 101])
  t.strictSame(world.metrics.counted, [['dialRefused', 'frontend']])
  const other = world.dial('user/bob')
  t.strictSame(other.outcomes, [], 'another principal has dials of its own')
})

t.test('gives a dial back to its principal in whatever way it ends, and once', async (t) => {
  const a = testAgent('a')
  const b = testAgent('b')
  const endings: Record<string, (dial: { readonly cancel: () => void }, random: number) => void> = {
    connected: (_dial, random) => a.connect(random, random),
    refused: (_dial, random) => a.refuse(random, 'no'),
    'at the deadline': () => world.clock.advance(30_000),
    cancelled: ({ cancel }) => cancel(),
    'refused, then cancelled': ({ cancel }, random) => {
      a.refuse(random, 'no')
      cancel()
    },
    'cancelled, then connected': ({ cancel }, random) => {
      cancel()
      a.connect(random, random)
    },
  }
  const world = setup([a, b], { maxPendingPerFrontend: 1 })
  for (const [name, end] of Object.entries(endings)) {
    const dial = world.dial()
    const [random] = a.dialled()
    t.ok(random, `${name}: had room`)
    t.match(world.dial().outcomes, [{ kind: 'too-many-dials' }], `${name}: exactly one`)
    end(dial, Number(random))
  }
  const dial = world.dial()
  a.lose()
  t.match(world.dial().outcomes, [{ kind: 'too-many-dials' }], 'a second attempt is the same dial')
  b.lose()
  t.match(dial.outcomes, [{ kind: 'agent-lost' }])
  t.match(world.dial().outcomes, [{ kind: 'agent-lost' }], 'and not too many')
  clean(t, world, a, b)
})

t.test('the waiter may dial again while it hears of a failure', async (t) => {
  const a = testAgent('a')
  const world = setup([a], { maxPendingPerFrontend: 1 })
  const again: (string | Failure)[] = []
  const dialing = world.dial()
  const push = dialing.outcomes.push.bind(dialing.outcomes)
  dialing.outcomes.push = (...items) => {
    again.push(...world.dial().outcomes)
    return push(...items)
  }
  a.refuse(100, 'no')
  t.strictSame(again, [], 'the room of the failed one is free by then')
  t.strictSame(a.dialled(), [100, 101])
})

t.test('a dial over a limit of its cluster is told so after a while, and no agent hears of it', async (t) => {
  const a = testAgent('a')
  const world = setup([a], { limits: { pendingDials: 1 } })
  world.dial()
  const { outcomes } = world.dial('user/bob')
  t.strictSame(a.dialled(), [100])
  t.strictSame(world.refused, ['default pending_dials'])
  world.clock.advance(SHORTEST_REFUSAL_MS - 1)
  t.strictSame(outcomes, [], 'who asks again at once asks once a second')
  world.clock.advance(1)
  const text = 'cluster default is at its limit of 1 pending dials'
  t.strictSame(outcomes, [{ kind: 'cluster-limit', status: 503, text }])
  a.connect(100, 1)
  t.equal(world.tenant?.pendingDials, 0)
  t.strictSame(world.dial().outcomes, [])
  t.strictSame(a.dialled(), [101], 'there is room again')
})

t.test('a dial that the policy denies counts as one of its cluster: who asks without end is slowed', async (t) => {
  const denied = { kind: 'denied', text: 'not allowed' } as const
  const world = setup([testAgent('a')], { limits: { dialsPerSecond: 1 }, authorise: () => denied })
  t.strictSame(world.dial().outcomes, [denied])
  const { outcomes } = world.dial()
  t.strictSame(outcomes, [])
  t.strictSame(world.refused, ['default dials_per_second'])
  world.clock.advance(SHORTEST_REFUSAL_MS)
  t.match(outcomes, [{ kind: 'cluster-limit', status: 429 }])
  t.equal(world.tenant?.pendingDials, 0)
})

t.test('connections of a cluster are bounded over all its agents', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b')]
  const world = setup([a, b], { limits: { connections: 2 } })
  world.dial()
  a.connect(100, 1)
  world.dial()
  world.dial()
  t.strictSame([a.dialled(), world.refused], [[100, 101], ['default connections']])
})

t.test('a client that goes while it waits for its refusal leaves nothing', async (t) => {
  const a = testAgent('a')
  const world = setup([a], { limits: { dialsPerSecond: 1 } })
  const first = world.dial()
  const { outcomes, cancel } = world.dial()
  t.equal(world.clock.waiting(), 2, 'the deadline of the first, and the wait')
  cancel()
  cancel()
  t.equal(world.clock.waiting(), 1)
  first.cancel()
  clean(t, world, a)
  t.strictSame(outcomes, [])
  t.equal(world.tenant?.pendingDials, 0)
})

t.test('the more dials of a cluster are over its limit, the longer they wait', async (t) => {
  const world = setup([testAgent('a')], { limits: { dialsPerSecond: 1 } })
  world.dial()
  const waiting = [world.dial(), world.dial(), world.dial()]
  world.clock.advance(SHORTEST_REFUSAL_MS + REFUSAL_EVERY_MS)
  t.strictSame(
    waiting.map(({ outcomes }) => outcomes.length),
    [1, 1, 0],
  )
})

t.test('asks nobody for what the policy denies', async (t) => {
  const a = testAgent('a')
  const asked: unknown[] = []
  const denied = { kind: 'denied', text: 'not allowed by the policy of the cluster: no rule allows it' } as const
  const authorise: DialDeps['authorise'] = (...given) => {
    asked.push(given)
    return denied
  }
  const world = setup([a], { authorise })
  t.strictSame(world.dial('user/bob').outcomes, [denied])
  t.strictSame(asked, [['default', 'user/bob', '10.0.0.1:443']])
  t.strictSame([a.dialled(), world.metrics.counted], [[], [['dialDenied', 'policy']]])
  clean(t, world, a)
})

t.test('a second attempt asks the policy as it is by then', async (t) => {
  const [a, b] = [testAgent('a'), testAgent('b')]
  const denied = { kind: 'denied', text: 'not allowed any more' } as const
  let said: ReturnType<DialDeps['authorise']> = { kind: 'allowed' }
  const world = setup([a, b], { authorise: () => said, limits: {} })
  const { outcomes } = world.dial()
  t.strictSame(a.dialled(), [100])
  said = denied
  a.lose()
  t.strictSame([outcomes, b.dialled()], [[denied], []])
  t.strictSame(world.metrics.counted, [['dialDenied', 'policy']])
  t.equal(world.tenant?.pendingDials, 0)
  clean(t, world, a, b)
})

t.test('what the address decides is for agents that take the policy', async (t) => {
  const authorise: DialDeps['authorise'] = () => ({ kind: 'by-address' })
  const able = testAgent('able')
  setup([able], { authorise }).dial()
  t.strictSame(able.dialled(), [100])
  const stock = testAgent('stock', { judgesAddresses: false })
  const world = setup([stock], { authorise })
  t.match(world.dial().outcomes, [{ kind: 'denied', text: /no agent takes a policy/ }])
  t.strictSame([stock.dialled(), world.metrics.counted], [[], [['dialDenied', 'unjudged']]])
  clean(t, world, stock)
})

t.test('among stock agents it goes to one that takes the policy, and after that one to no stock one', async (t) => {
  const stock = ['a', 'b', 'c'].map((id) => testAgent(id, { judgesAddresses: false }))
  const judges = [testAgent('d'), testAgent('e')] as const
  const world = setup([...stock, ...judges], { authorise: () => ({ kind: 'by-address' }) })
  const { outcomes } = world.dial()
  t.strictSame(judges[0].dialled(), [100])
  judges[0].lose()
  t.strictSame(judges[1].dialled(), [101])
  judges[1].lose('gone')
  t.strictSame(outcomes, [{ kind: 'agent-lost', cause: 'gone' }])
  for (const { agent } of judges) world.clusters.remove('default', agent)
  t.match(world.dial().outcomes, [{ kind: 'denied' }])
  t.strictSame(
    stock.map(({ dialled }) => dialled()),
    [[], [], []],
  )
  clean(t, world, ...stock, ...judges)
})

t.test(
  'an agent has the policy as it is now before the dial, which goes to another one if that is its end',
  async (t) => {
    const [a, b] = [testAgent('a'), testAgent('b')]
    const world = setup([a, b], { authorise: () => ({ kind: 'by-address' }) })
    const before: Int64[][] = []
    a.whenPushed(() => {
      before.push(a.dialled())
      world.clusters.remove('default', a.agent)
      a.lose('no room for the policy')
    })
    b.whenPushed(() => before.push(b.dialled()))
    const { outcomes } = world.dial()
    t.strictSame(before, [[], []])
    t.strictSame([a.dialled(), b.dialled(), outcomes], [[], [101], []])
    b.refuse(101, 'no')
    t.match(outcomes, [{ kind: 'dial-error' }])
    clean(t, world, b)
  },
)

t.test('says that there is no agent where none is that could judge or not', async (t) => {
  const world = setup([], { authorise: () => ({ kind: 'by-address' }) })
  t.strictSame(world.dial().outcomes, [{ kind: 'no-agent' }])
})

t.test('dials nothing for a cluster that has just been removed', async (t) => {
  const a = testAgent('a')
  const world = setup([a], { limits: {} })
  const text = 'cluster eu-9 has just been removed'
  t.strictSame(world.dial('user/alice', 'eu-9').outcomes, [{ kind: 'denied', text }])
  clean(t, world, a)
})

t.test('in the first time of a server a dial waits for the first agent of its cluster', async (t) => {
  const world = setup([], { settleMs: 15_000 })
  const { outcomes } = world.dial()
  world.clock.advance(9_000)
  t.strictSame(outcomes, [])
  const a = testAgent('a')
  world.join(a)
  const [random] = a.dialled()
  a.connect(random!, 1)
  t.strictSame(outcomes, ['connected 1 by a'])
  clean(t, world, a)
})

t.test(
  'a dial that only an agent may judge waits in the first time while there are but agents that cannot',
  async (t) => {
    const stock = testAgent('stock', { judgesAddresses: false })
    const world = setup([stock], { settleMs: 15_000, authorise: () => ({ kind: 'by-address' }) })
    const { outcomes } = world.dial()
    world.join(testAgent('stock-too', { judgesAddresses: false }))
    t.strictSame(outcomes, [])
    const judge = testAgent('judge')
    world.join(judge)
    t.strictSame(judge.dialled(), [100])
    judge.refuse(100, 'no')
    t.match(outcomes, [{ kind: 'dial-error' }])
    world.clusters.remove('default', judge.agent)
    const late = world.dial()
    world.clock.advance(15_000)
    t.match(late.outcomes, [{ kind: 'denied', text: /no agent takes a policy/ }])
    clean(t, world, stock, judge)
  },
)

t.test('a dial that waited in vain fails as ever, and one that comes later does so at once', async (t) => {
  const world = setup([], { settleMs: 15_000 })
  const { outcomes } = world.dial()
  world.clock.advance(14_999)
  t.strictSame(outcomes, [])
  world.clock.advance(1)
  t.match(outcomes, [{ kind: 'no-agent' }])
  t.match(world.dial().outcomes, [{ kind: 'no-agent' }])
  clean(t, world)
})

t.test('a dial that waits for an agent has its limits, its deadline and its policy', async (t) => {
  let isAllowed = true
  const authorise = () => (isAllowed ? ({ kind: 'allowed' } as const) : ({ kind: 'denied', text: 'no' } as const))
  const world = setup([], { settleMs: 15_000, timeoutMs: 5_000, maxPendingPerFrontend: 2, authorise })
  const [first, second] = [world.dial(), world.dial()]
  t.match(world.dial().outcomes, [{ kind: 'too-many-dials' }])
  first.cancel()
  const third = world.dial()
  world.clock.advance(5_000)
  t.match([second.outcomes, third.outcomes], [[{ kind: 'dial-timeout' }], [{ kind: 'dial-timeout' }]])
  const late = world.dial()
  isAllowed = false
  world.join(testAgent('a'))
  t.match(late.outcomes, [{ kind: 'denied' }])
  t.strictSame(first.outcomes, [])
  clean(t, world)
})
