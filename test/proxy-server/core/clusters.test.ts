import t from 'tap'
import { type Clusters, createClusters, type PooledAgent } from '../../../src/proxy-server/core/clusters.ts'

type Agent = PooledAgent & { readonly name: string }

const agent = (agentId: string, name = agentId): Agent => ({ agentId, name, draining: false })

function pool(...agents: Agent[]): Clusters<Agent> {
  const clusters = createClusters<Agent>()
  for (const each of agents) clusters.add('default', each)
  return clusters
}

const SHARES = [0, 0.24, 0.25, 0.5, 0.75, 0.999_999]

t.test('picks nobody where nobody is', async (t) => {
  const clusters = pool(agent('a'))
  t.equal(createClusters<Agent>().pick('default', 0.5), undefined)
  t.equal(clusters.pick('eu-1', 0.5), undefined)
  t.strictSame(clusters.of('eu-1'), [])
})

t.test('gives each agent id an equal share of the random numbers', async (t) => {
  const clusters = pool(agent('a'), agent('b'), agent('c'), agent('d'))
  t.strictSame(
    SHARES.map((share) => clusters.pick('default', share)?.name),
    ['a', 'a', 'b', 'c', 'd', 'd'],
  )
})

t.test('counts an id once, however many streams it has, and takes the oldest of them', async (t) => {
  const clusters = pool(agent('a', 'a1'), agent('a', 'a2'), agent('a', 'a3'), agent('b'))
  t.strictSame(
    [0, 0.49, 0.5, 0.99].map((share) => clusters.pick('default', share)?.name),
    ['a1', 'a1', 'b', 'b'],
  )
})

t.test('prefers whoever does not drain, also a younger stream of the same id', async (t) => {
  const [a1, a2, b] = [agent('a', 'a1'), agent('a', 'a2'), agent('b')]
  const clusters = pool(a1, a2, b)
  a1.draining = true
  t.equal(clusters.pick('default', 0)?.name, 'a2')
  a2.draining = true
  for (const share of SHARES) t.equal(clusters.pick('default', share)?.name, 'b')
})

t.test('takes one that drains rather than none', async (t) => {
  const [a, b] = [agent('a'), agent('b')]
  const clusters = pool(a, b)
  a.draining = true
  b.draining = true
  t.strictSame(
    [0, 0.5].map((share) => clusters.pick('default', share)?.name),
    ['a', 'b'],
  )
})

t.test('never picks the stream that was tried already, not even as the last one', async (t) => {
  const [a1, a2, b] = [agent('a', 'a1'), agent('a', 'a2'), agent('b')]
  const clusters = pool(a1, a2, b)
  t.equal(clusters.pick('default', 0, a1)?.name, 'a2', 'another stream of the same id is another one')
  for (const share of SHARES) t.not(clusters.pick('default', share, b), b)
  t.equal(pool(a1).pick('default', 0, a1), undefined)
  a1.draining = true
  t.equal(pool(a1).pick('default', 0, a1), undefined)
})

t.test('forgets a stream and keeps the others of its id', async (t) => {
  const [first, second] = [agent('a', 'a1'), agent('a', 'a2')]
  const clusters = pool(first, second)
  clusters.remove('default', first)
  t.equal(clusters.pick('default', 0), second)
  clusters.remove('default', first)
  t.strictSame(clusters.all(), [second], 'twice is not once too often')
  clusters.remove('default', second)
  t.strictSame([clusters.all(), clusters.names()], [[], []])
})

t.test('is not confused by the removal of what was never there', async (t) => {
  const a = agent('a')
  const clusters = pool(a)
  clusters.remove('default', agent('a'))
  clusters.remove('default', agent('b'))
  clusters.remove('eu-1', a)
  t.strictSame(clusters.all(), [a])
})

t.test('keeps clusters apart, whatever their agents call themselves', async (t) => {
  const [here, there] = [agent('a', 'here'), agent('a', 'there')]
  const clusters = createClusters<Agent>()
  clusters.add('eu-1', here)
  clusters.add('__proto__', there)
  for (const share of SHARES) {
    t.equal(clusters.pick('eu-1', share), here)
    t.equal(clusters.pick('__proto__', share), there)
  }
  t.strictSame(clusters.names(), ['eu-1', '__proto__'])
  t.strictSame(clusters.of('eu-1'), [here])
  clusters.remove('eu-1', there)
  t.strictSame(clusters.of('eu-1'), [here])
})

t.test('takes ids that mean something to JavaScript, and the empty one', async (t) => {
  const agents = ['', '__proto__', 'constructor', 'toString'].map((id) => agent(id))
  const clusters = pool(...agents)
  t.strictSame(clusters.all(), agents)
  t.strictSame(
    [0, 0.25, 0.5, 0.75].map((share) => clusters.pick('default', share)),
    agents,
  )
  for (const each of agents) clusters.remove('default', each)
  t.strictSame(clusters.names(), [])
})

t.test('a list that was given out does not change under its reader', async (t) => {
  const [a1, a2] = [agent('a', 'a1'), agent('a', 'a2')]
  const clusters = pool(a1, a2)
  const seen: string[] = []
  for (const each of clusters.all()) {
    clusters.remove('default', each)
    seen.push(each.name)
  }
  t.strictSame(seen, ['a1', 'a2'])
})
