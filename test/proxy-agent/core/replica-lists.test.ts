import t from 'tap'
import { createReplicaLists, type ReplicaLists } from '../../../src/proxy-agent/core/replica-lists.ts'
import type { ListedServer } from '../../../src/tunnel/packet.ts'

const HUB = { host: 'hub.example', port: 8091 }
const server = (id: string, more: Partial<ListedServer> = {}): ListedServer => ({
  id,
  address: '',
  serverName: `${id}.example`,
  workers: 1,
  ...more,
})
const lists = (follows = false, hosts = [HUB, { host: 'other.example', port: 443 }]): ReplicaLists<string> =>
  createReplicaLists({ hosts, follows })
/** It is reached through that host, and lists these. */
function tell(all: ReplicaLists<string>, origin: number, one: string, list: readonly ListedServer[] | 'none'): void {
  all.reached(origin, one)
  all.told(one, list)
}
const ids = (all: ReplicaLists<string>, origin = 0): string[] =>
  [...all.wanted(origin).places.values()].map(({ id }) => id)

t.test('wants nothing before a server tells of replicas, and nothing by one that tells of none', async (t) => {
  const all = lists()
  t.strictSame(ids(all), [])
  tell(all, 0, 'stock', 'none')
  t.strictSame(ids(all), [])
  t.notOk(all.mayLeave('stock'))
})

t.test('reaches each replica by its name, at the address of the host', async (t) => {
  const all = lists()
  tell(all, 1, 's', [server('a', { workers: 2 })])
  t.strictSame(
    [...all.wanted(1).places],
    [
      [
        'a.example other.example:443',
        { origin: 1, id: 'a', address: { host: 'other.example', port: 443 }, serverName: 'a.example', workers: 2 },
      ],
    ],
  )
  t.strictSame(ids(all, 0), [], 'the lists of each host are its own')
})

t.test('wants what any server lists', async (t) => {
  const all = lists()
  tell(all, 0, 'a', [server('a'), server('b')])
  tell(all, 0, 'c', [server('c')])
  t.strictSame(ids(all), ['a', 'b', 'c'])
  tell(all, 0, 'a', [server('a')])
  t.strictSame(ids(all).sort(), ['a', 'c'], 'a server that says something else has said nothing before')
  tell(all, 0, 'b', [server('a', { workers: 3 })])
  t.equal(all.wanted(0).places.get('a.example hub.example:8091')?.workers, 3, 'the latest says how many workers')
})

t.test('what a server listed goes with it, and stays while nobody else is there', async (t) => {
  const all = lists()
  tell(all, 0, 'a', [server('a'), server('b')])
  tell(all, 0, 'b', [server('b')])
  t.strictSame(all.forget('a'), [0])
  t.strictSame(ids(all), ['b'])
  t.strictSame(all.forget('a'), [], 'it is forgotten already')
  all.forget('b')
  t.strictSame(ids(all), ['b'], 'nobody says otherwise')
  tell(all, 0, 'c', 'none')
  t.strictSame(ids(all), [], 'somebody does')
})

t.test('what a server lists counts for each host that leads to it', async (t) => {
  const all = lists()
  tell(all, 0, 'a', [server('a'), server('b')])
  t.ok(all.reached(1, 'a'))
  t.notOk(all.reached(1, 'a'), 'which is no news a second time')
  t.match([...all.wanted(1).places.values()], [{ address: { host: 'other.example' } }, { id: 'b' }])
  t.strictSame(all.told('a', [server('a')]), [0, 1])
  t.strictSame([ids(all, 0), ids(all, 1)], [['a'], ['a']])
  t.strictSame(all.forget('a'), [0, 1])
  t.notOk(all.reached(0, 'new'), 'one that has told nothing yet')
})

t.test('a server may be left when another one of its host lists replicas besides', async (t) => {
  const all = lists()
  tell(all, 0, 'a', [server('b')])
  t.notOk(all.mayLeave('a'), 'nobody else says so')
  tell(all, 0, 'b', 'none')
  tell(all, 1, 'c', [server('c')])
  t.strictSame(['a', 'b'].map(all.mayLeave), [false, false])
  tell(all, 0, 'b', [server('b')])
  t.strictSame(['a', 'b', 'c', 'unknown'].map(all.mayLeave), [true, true, false, false])
})

t.test('goes to no other address than those of its hosts, unless it follows', async (t) => {
  const there = [server('a', { address: 'OTHER.example:443' }), server('b', { address: 'hub.example' })]
  const elsewhere = [server('c', { address: '192.0.2.1:1' }), server('d', { address: 'hub.example:1' })]
  const stays = lists()
  tell(stays, 0, 's', [...there, ...elsewhere])
  t.strictSame(ids(stays), ['a', 'b'])
  t.match(stays.wanted(0), { foreign: ['192.0.2.1:1', 'hub.example:1'], overMany: [] })
  const follows = lists(true)
  tell(follows, 0, 's', elsewhere)
  t.match(
    [...follows.wanted(0).places.values()],
    [{ address: { host: '192.0.2.1', port: 1 } }, { address: { port: 1 } }],
  )
  t.strictSame(follows.wanted(0).foreign, [])
})

t.test('many servers together ask for no more streams than one list may', async (t) => {
  const all = lists()
  for (let one = 0; one < 10; one++) tell(all, 0, `s-${one}`, [server(`a-${one}`, { workers: 50 })])
  t.strictSame(ids(all), ['a-0', 'a-1', 'a-2', 'a-3', 'a-4'])
  t.strictSame(all.wanted(0).overMany, ['a-5', 'a-6', 'a-7', 'a-8', 'a-9'])
})
