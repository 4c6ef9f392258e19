import t from 'tap'
import type { ListedServer } from '../../src/tunnel/packet.ts'
import {
  isReplicaAddress,
  MAX_LISTED_STREAMS,
  MAX_REPLICA_WORKERS,
  MAX_REPLICAS,
  readServerList,
  replicaName,
} from '../../src/tunnel/server-list.ts'

const server = (number: number, more: Partial<ListedServer> = {}): ListedServer => ({
  id: `hub-${number}`,
  address: '',
  serverName: `hub-${number}.example`,
  workers: 1,
  ...more,
})
const problemsOf = (...servers: ListedServer[]): unknown => {
  const read = readServerList(servers)
  return read.ok ? [] : read.problems
}

t.test('gives names in the form that is compared, and at least one worker', async (t) => {
  const given = [
    server(0, { serverName: 'HUB-0.Example.', workers: 0 }),
    server(1, { address: '[fd00::1]:443', workers: -2 }),
  ]
  const servers = [server(0), server(1, { address: '[fd00::1]:443' })]
  t.strictSame(readServerList(given), { ok: true, servers })
})

t.test('refuses what could not be connected to, and says which', async (t) => {
  const wrong: readonly [Partial<ListedServer>, RegExp][] = [
    [{ id: '' }, /an id/],
    [{ id: 'a\nb' }, /an id/],
    [{ id: 'x'.repeat(257) }, /an id/],
    [{ serverName: '' }, /a DNS name/],
    [{ serverName: '10.0.0.1' }, /a DNS name/],
    [{ serverName: '*.example' }, /a DNS name/],
    [{ serverName: 'a b' }, /a DNS name/],
    [{ address: 'a b' }, /an address/],
    [{ address: 'host:0' }, /an address/],
    [{ address: 'http://host' }, /an address/],
    [{ address: `${'a'.repeat(254)}:65535` }, /an address/],
    [{ workers: MAX_REPLICA_WORKERS + 1 }, /at most 64 workers/],
  ]
  for (const [more, expected] of wrong) {
    t.match(problemsOf(server(0), server(1, more)), [{ at: 1, expected }], JSON.stringify(more))
  }
  t.strictSame(problemsOf(server(0, { id: 'x'.repeat(256), workers: MAX_REPLICA_WORKERS })), [])
})

t.test('refuses one that is there twice, by its id or by its name', async (t) => {
  t.match(problemsOf(server(0), server(1, { id: 'hub-0' })), [{ at: 1, expected: 'each id once' }])
  t.match(problemsOf(server(0), server(1, { serverName: 'HUB-0.example' })), [
    { at: 1, expected: 'each serverName once' },
  ])
  t.strictSame(problemsOf(server(0), server(1, { serverName: 'hub-0.example', address: 'other' })), [])
})

t.test('holds a list to its limits', async (t) => {
  const many = (count: number, workers = 1): ListedServer[] =>
    Array.from({ length: count }, (_, index) => server(index, { workers }))
  t.match(problemsOf(), [{ expected: /at least one/ }])
  t.strictSame(problemsOf(...many(MAX_REPLICAS)), [])
  t.match(problemsOf(...many(MAX_REPLICAS + 1)), [{ expected: /at most 100 replicas/ }])
  t.strictSame(problemsOf(...many(MAX_LISTED_STREAMS / 50, 50)), [])
  t.match(problemsOf(...many(MAX_LISTED_STREAMS / 50, 50), server(99)), [{ expected: /at most 250 workers/ }])
})

t.test('takes what TLS could ask for as a name', async (t) => {
  const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`
  for (const name of ['localhost', 'a-1.b', '1.a', longest]) t.equal(replicaName(name), name)
  for (const name of ['', '.', 'a..b', '-a', 'a-', 'a_b', `${longest}e`, '1.2', 'a.1', 'ü', '::1']) {
    t.equal(replicaName(name), undefined, name)
  }
  t.ok(isReplicaAddress('10.0.0.1:8091'))
  t.notOk(isReplicaAddress(''))
})
