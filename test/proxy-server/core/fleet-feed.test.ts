import t from 'tap'
import { createFleetFeed, type FleetEvent, type FleetFact } from '../../../src/proxy-server/core/fleet-feed.ts'

const MINUTE_MS = 60_000

/** The facts about streams of one server, by their numbers, and what is told. */
function setup() {
  const feed = createFleetFeed()
  let nowMs = 0
  const told = (events: FleetEvent[]): string[] =>
    events.map(({ type, cluster, reason }) => [type, cluster, reason].filter((word) => word !== undefined).join(' '))
  const take = (fact: FleetFact): string[] => told(feed.take(fact, nowMs))
  const stream = (number: number, server = 's') => ({ server, number })
  return {
    feed,
    join: (number: number, cluster = 'eu-1', server?: string) =>
      take({ is: 'joined', stream: stream(number, server), cluster, agent: `a-${number}` }),
    leave: (number: number, reason = 'lost', server?: string) =>
      take({ is: 'left', stream: stream(number, server), reason }),
    say: (is: 'late' | 'heard' | 'draining', number: number) => take({ is, stream: stream(number) }),
    refuse: (source: string, reason = 'no certificate', why = reason) =>
      take({ is: 'refused', source, agent: undefined, why, reason }),
    know: (...clusters: string[]) => take({ is: 'known', clusters }),
    end: (server: string) => take({ is: 'server-gone', server }),
    pass: (ms: number) => {
      nowMs += ms
      return told(feed.tick(nowMs))
    },
    state: (cluster = 'eu-1') => feed.standings().get(cluster)?.state,
  }
}

t.test('a cluster is established with its first agent and lost with its last', async (t) => {
  const { join, leave, feed, pass } = setup()
  pass(1_000)
  t.strictSame(join(1), ['established eu-1 an agent is connected'])
  t.strictSame(join(2), [], 'nothing has changed')
  pass(1_000)
  t.strictSame(leave(1, 'closed'), [])
  t.strictSame(leave(2, 'heartbeat_timeout'), ['lost eu-1 heartbeat_timeout'])
  t.strictSame(feed.standings().get('eu-1'), { state: 'lost', sinceUnixMs: 2_000, reason: 'heartbeat_timeout' })
  t.strictSame(leave(2), [], 'it is gone already')
})

t.test('an agent that is lost degrades its cluster until it is back', async (t) => {
  const { join, leave } = setup()
  join(1)
  join(2)
  t.strictSame(leave(2, 'lost'), ['degraded eu-1 lost'])
  t.strictSame(join(3), ['established eu-1 an agent is connected'])
})

t.test('an agent that is lost is not missed for ever', async (t) => {
  const { join, leave, pass } = setup()
  join(1)
  join(2)
  leave(2)
  t.strictSame(pass(5 * MINUTE_MS - 1), [])
  t.strictSame(pass(1), ['established eu-1 an agent that was lost has not come back'])
})

t.test('an agent that ends in order is not missed', async (t) => {
  const { join, leave, state } = setup()
  for (const number of [1, 2, 3]) join(number)
  leave(1, 'closed')
  leave(2, 'shutdown')
  t.equal(state(), 'established')
})

t.test('a silent agent degrades its cluster until it is heard', async (t) => {
  const { join, say } = setup()
  join(1)
  t.strictSame(say('late', 1), ['degraded eu-1 an agent is silent'])
  t.strictSame(say('heard', 1), ['established eu-1 the agent that was silent is heard again'])
  t.strictSame(say('late', 7), [], 'nobody knows it')
})

t.test('a cluster drains when all of its agents do', async (t) => {
  const { join, say, leave } = setup()
  join(1)
  join(2)
  t.strictSame(say('draining', 1), [])
  t.strictSame(say('draining', 2), ['draining eu-1 no agent takes new connections any more'])
  t.strictSame(join(3), ['established eu-1 an agent is connected'])
  t.strictSame(leave(1, 'lost'), [], 'it was leaving')
})

t.test('clusters do not touch one another', async (t) => {
  const { join, leave, state } = setup()
  join(1, 'eu-1')
  join(2, 'us-1')
  t.strictSame(leave(2), ['lost us-1 lost'])
  t.equal(state('eu-1'), 'established')
})

t.test('streams of several workers are one cluster, and go with their worker', async (t) => {
  const { join, end, state } = setup()
  join(1, 'eu-1', 'w1')
  join(1, 'eu-1', 'w10')
  t.strictSame(end('w1'), ['degraded eu-1 a worker of the server has ended'])
  t.equal(state(), 'degraded', 'that of the other one is there')
  t.strictSame(end('w10'), ['lost eu-1 a worker of the server has ended'])
})

t.test('who is refused again and again is told of once a minute', async (t) => {
  const { refuse, pass } = setup()
  t.strictSame(refuse('10.0.0.1'), ['refused no certificate'])
  t.strictSame(refuse('10.0.0.1'), [])
  t.strictSame(refuse('10.0.0.1', 'too many'), ['refused too many'])
  t.strictSame(refuse('10.0.0.1', 'unknown service a', 'unknown_method'), ['refused unknown service a'])
  t.strictSame(refuse('10.0.0.1', 'unknown service b', 'unknown_method'), [], 'whatever a stranger says')
  t.strictSame(refuse('10.0.0.2'), ['refused no certificate'])
  pass(MINUTE_MS)
  t.strictSame(refuse('10.0.0.1'), ['refused no certificate'])
  for (let count = 0; count < 1_000; count++) refuse(`10.1.${count >> 8}.${count & 255}`)
  t.strictSame(refuse('10.0.0.1'), ['refused no certificate'], 'the last thousand are remembered')
})

t.test('remembers the last thousand clusters that were lost, and all that are not', async (t) => {
  const { join, leave, feed } = setup()
  join(0, 'here')
  for (let count = 1; count <= 1_100; count++) {
    join(count, `c-${count}`)
    leave(count)
  }
  t.equal(feed.standings().size, 1_001)
  t.ok(feed.standings().has('here') && feed.standings().has('c-1100') && !feed.standings().has('c-100'))
})

t.test('a cluster that is listed is lost until its first agent comes', async (t) => {
  const { know, join, feed, pass } = setup()
  pass(1_000)
  t.strictSame(know('eu-1', 'us-1'), [])
  pass(1_000)
  t.strictSame(know('eu-1', 'us-1'), [], 'another worker says the same')
  t.strictSame(join(1, 'eu-1'), ['established eu-1 an agent is connected'])
  t.strictSame(feed.standings().get('us-1'), { state: 'lost', sinceUnixMs: 1_000, reason: 'no agent has come yet' })
})

t.test('a cluster that is added to those that are listed is told of', async (t) => {
  const { know, join, feed, pass } = setup()
  know('eu-1')
  pass(1_000)
  const reason = 'it is new in --clusters: no agent has come yet'
  t.strictSame(know('eu-1', 'us-1'), [`lost us-1 ${reason}`])
  t.strictSame(know('eu-1', 'us-1'), [], 'another worker says the same')
  t.strictSame(feed.standings().get('us-1'), { state: 'lost', sinceUnixMs: 1_000, reason })
  t.strictSame(join(1, 'us-1'), ['established us-1 an agent is connected'])
})

t.test('a cluster that is listed no longer is told of, and forgotten when it has no agent', async (t) => {
  const { know, join, leave, feed } = setup()
  know('eu-1', 'us-1')
  join(1, 'eu-1')
  join(2, 'eu-1', 'another worker')
  t.strictSame(know('ap-1'), [
    'lost ap-1 it is new in --clusters: no agent has come yet',
    'lost us-1 it was removed from --clusters',
  ])
  t.strictSame(know('ap-1'), [], 'another worker says the same')
  t.strictSame([...feed.standings().keys()], ['eu-1', 'ap-1'])
  t.strictSame(leave(1, 'unmapped'), [], 'nobody misses it')
  t.strictSame(leave(2, 'unmapped', 'another worker'), ['lost eu-1 it was removed from --clusters'])
  t.strictSame([...feed.standings().keys()], ['ap-1'])
  t.strictSame(know('ap-1', 'eu-1'), ['lost eu-1 it is new in --clusters: no agent has come yet'])
})
