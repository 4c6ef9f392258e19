import t from 'tap'
import { type Clusters, createClusters, type PooledAgent } from '../../../src/proxy-server/core/clusters.ts'
import type { Strategy } from '../../../src/proxy-server/core/strategies.ts'

type Agent = PooledAgent & { readonly name: string }

function agent(agentId: string, name = agentId, hosts: string[] = [], defaultRoute = false): Agent {
  return {
    agentId,
    name,
    draining: false,
    refusing: false,
    hosts: new Set(hosts),
    defaultRoute,
    judgesAddresses: false,
  }
}

function pool(order: readonly Strategy[], ...agents: Agent[]): Clusters<Agent> {
  const clusters = createClusters<Agent>(order)
  for (const each of agents) clusters.add('default', each)
  return clusters
}

function drain(clusters: Clusters<Agent>, ...agents: Agent[]): void {
  for (const each of agents) {
    each.draining = true
    clusters.changed('default', each)
  }
}

const ADDRESS = '10.0.0.1:443'
/** Everybody who may be picked. */
function picked(clusters: Clusters<Agent>, address = ADDRESS, except?: Agent): string[] {
  const lots = Array.from({ length: 100 }, (_, lot) => clusters.pick('default', address, lot / 100, except))
  return [...new Set(lots.map((it) => it?.name ?? 'nobody'))].sort()
}

const ANY = ['default'] as const

t.test('picks nobody where nobody is', async (t) => {
  t.strictSame(picked(pool(ANY)), ['nobody'])
  const clusters = pool(ANY, agent('a'))
  t.equal(clusters.pick('eu-1', ADDRESS, 0.5), undefined)
  t.strictSame(clusters.of('eu-1'), [])
})

t.test('prefers whoever does not drain, also a younger stream of the same id', async (t) => {
  const [a1, a2, b] = [agent('a', 'a1'), agent('a', 'a2'), agent('b')]
  const clusters = pool(ANY, a1, a2, b)
  t.strictSame(picked(clusters), ['a1', 'b'])
  drain(clusters, a1)
  t.strictSame(picked(clusters), ['a2', 'b'])
  drain(clusters, a2)
  t.strictSame(picked(clusters), ['b'])
  drain(clusters, b)
  t.strictSame(picked(clusters), ['a1', 'b'], 'rather than nobody')
})

t.test('an agent that refuses every dial comes after all others, those that drain among them', async (t) => {
  const [a, b, c] = [agent('a'), agent('b'), agent('c')]
  const clusters = pool(ANY, a, b, c)
  const refuse = (each: Agent, refusing: boolean): void => {
    each.refusing = refusing
    clusters.changed('default', each)
  }
  refuse(a, true)
  t.strictSame(picked(clusters), ['b', 'c'])
  drain(clusters, b, c)
  t.strictSame(picked(clusters), ['b', 'c'])
  drain(clusters, a)
  t.strictSame(picked(clusters), ['b', 'c'])
  refuse(b, true)
  clusters.remove('default', c)
  t.strictSame(picked(clusters), ['a', 'b'], 'rather than nobody: the client hears why')
  t.strictSame(clusters.backends(), { default: 2 })
  refuse(a, false)
  t.strictSame(picked(clusters), ['a'])
  const late = { ...agent('late'), refusing: true }
  clusters.add('default', late)
  t.strictSame(picked(clusters), ['a'])
})

t.test('an agent that drains is the last resort after all strategies, not before the next one', async (t) => {
  const node = agent('node', 'node', ['10.0.0.1'])
  const route = agent('route', 'route', [], true)
  const other = agent('other')
  const clusters = pool(['destHost', 'defaultRoute', 'default'], node, route, other)
  t.strictSame(picked(clusters), ['node'])
  drain(clusters, node)
  t.strictSame(picked(clusters), ['route'])
  drain(clusters, route)
  t.strictSame(picked(clusters), ['other'])
  drain(clusters, other)
  t.strictSame(picked(clusters), ['node'], 'among those that drain the strategies have their order again')
  t.strictSame(picked(clusters, ADDRESS, node), ['route'])
})

t.test('one that drains gets a dial that nobody else may have', async (t) => {
  const node = agent('node', 'node', ['10.0.0.1'])
  const clusters = pool(['destHost'], node, agent('other', 'other', ['10.0.0.2']))
  drain(clusters, node)
  t.strictSame(picked(clusters), ['node'])
})

t.test('falls back to one that drains when the other one was tried already', async (t) => {
  const [a, b] = [agent('a'), agent('b')]
  const clusters = pool(ANY, a, b)
  drain(clusters, a)
  t.strictSame(picked(clusters, ADDRESS, b), ['a'])
})

t.test('takes note of an agent that drains before it is there, and twice', async (t) => {
  const [early, b] = [{ ...agent('early'), draining: true }, agent('b')]
  const clusters = pool(ANY, early, b)
  t.strictSame(picked(clusters), ['b'])
  drain(clusters, early, early)
  clusters.remove('default', b)
  t.strictSame(picked(clusters), ['early'])
  clusters.remove('default', early)
  drain(clusters, early)
  t.strictSame([picked(clusters), clusters.names()], [['nobody'], []], 'and after it has gone nothing of it')
})

t.test('forgets a stream and keeps the others of its id', async (t) => {
  const [first, second] = [agent('a', 'a1', ['10.0.0.1']), agent('a', 'a2', ['10.0.0.1'])]
  const clusters = pool(['destHost'], first, second)
  clusters.remove('default', first)
  t.strictSame(picked(clusters), ['a2'])
  clusters.remove('default', first)
  t.strictSame(clusters.all(), [second], 'twice is not once too often')
  clusters.remove('default', second)
  t.strictSame([clusters.all(), clusters.names(), clusters.backends()], [[], [], { destHost: 0 }])
})

t.test('is not confused by what happens to agents that are not there', async (t) => {
  const a = agent('a')
  const clusters = pool(ANY, a)
  drain(clusters, agent('z'))
  t.strictSame(picked(clusters, ADDRESS, a), ['nobody'])
  clusters.remove('default', agent('a'))
  clusters.remove('default', agent('b'))
  clusters.remove('eu-1', a)
  t.strictSame([clusters.all(), picked(clusters)], [[a], ['a']])
})

t.test('keeps clusters apart, whatever their agents call themselves', async (t) => {
  const [here, there] = [agent('a', 'here', ['10.0.0.1'], true), agent('a', 'there', ['10.0.0.1'], true)]
  for (const strategy of ['default', 'destHost', 'defaultRoute'] as const) {
    const clusters = createClusters<Agent>([strategy])
    clusters.add('eu-1', here)
    clusters.add('__proto__', there)
    for (const random of [0, 0.5, 0.99]) {
      t.equal(clusters.pick('eu-1', ADDRESS, random), here)
      t.equal(clusters.pick('__proto__', ADDRESS, random), there)
    }
    t.strictSame(clusters.names(), ['eu-1', '__proto__'])
    t.strictSame(clusters.of('eu-1'), [here])
    clusters.remove('eu-1', there)
    clusters.changed('eu-1', there)
    t.strictSame(clusters.of('eu-1'), [here])
    t.strictSame(clusters.backends(), { [strategy]: 2 })
  }
})

t.test('a list that was given out does not change under its reader', async (t) => {
  const [a1, a2] = [agent('a', 'a1'), agent('a', 'a2')]
  const clusters = pool(ANY, a1, a2)
  const seen: string[] = []
  for (const each of clusters.all()) {
    clusters.remove('default', each)
    seen.push(each.name)
  }
  t.strictSame(seen, ['a1', 'a2'])
})

t.test('counts the backends of the strategies in use, drained ones included, each once', async (t) => {
  const [a1, a2] = [agent('a', 'a1', ['n1', 'n2']), agent('a', 'a2', ['n2', 'n3'], true)]
  const clusters = pool(['defaultRoute', 'destHost', 'default'], a1, a2, agent('b'))
  t.strictSame(Object.entries(clusters.backends()), [
    ['defaultRoute', 1],
    ['destHost', 3],
    ['default', 2],
  ])
  drain(clusters, a1)
  t.strictSame(clusters.backends(), { defaultRoute: 1, destHost: 3, default: 2 })
  drain(clusters, a2)
  t.strictSame(clusters.backends(), { defaultRoute: 1, destHost: 3, default: 2 })
  clusters.remove('default', a1)
  t.strictSame(clusters.backends(), { defaultRoute: 1, destHost: 2, default: 2 })
  t.strictSame(pool(['destHost']).backends(), { destHost: 0 })
})

t.test('is ready when the first strategy has somebody, whatever the others have', async (t) => {
  const [plain, node, route] = [agent('a'), agent('b', 'b', ['n1']), agent('c', 'c', [], true)]
  for (const [first, enough] of [
    ['default', plain],
    ['destHost', node],
    ['defaultRoute', route],
  ] as const) {
    const clusters = pool([first, 'default'])
    t.notOk(clusters.ready(), first)
    if (enough !== plain) clusters.add('default', plain)
    t.notOk(clusters.ready(), `${first}: others do not count`)
    clusters.add('default', enough)
    t.ok(clusters.ready(), first)
    enough.draining = true
    clusters.changed('default', enough)
    t.ok(clusters.ready(), `${first}: as konnectivity, also while it drains`)
    clusters.remove('default', enough)
    t.notOk(clusters.ready(), first)
  }
})

t.test('picks a judge, be it one that drains, and nobody who is none', async (t) => {
  const stock = [agent('a', 'a', ['10.0.0.1']), agent('b', 'b', ['10.0.0.1'])]
  const judge = { ...agent('judge'), judgesAddresses: true }
  const clusters = pool(['destHost', 'default'], ...stock, judge)
  const judges = (): unknown[] =>
    [0, 0.4, 0.99].map((lot) => clusters.pickJudge('default', ADDRESS, lot)?.name ?? 'nobody')
  t.strictSame([judges(), picked(clusters)], [Array(3).fill('judge'), ['a', 'b']])
  drain(clusters, judge)
  t.strictSame(judges(), Array(3).fill('judge'))
  t.equal(clusters.pickJudge('default', ADDRESS, 0, judge), undefined)
  clusters.remove('default', judge)
  t.strictSame([judges(), picked(clusters)], [Array(3).fill('nobody'), ['a', 'b']])
})
