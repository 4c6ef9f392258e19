/** The schema at its limits. Its words with their lines: test/clusters/read.test.ts. */
import t from 'tap'
import { limitDefaults, schemaProblems } from '../../src/clusters/schema.ts'

const expectedOf = (document: unknown): string[] => schemaProblems(document).first.map(({ expected }) => expected)
const texts = (count: number): string[] => Array.from({ length: count }, (_, index) => `n${index}`)

t.test('has a default for each limit, which is within it', async (t) => {
  t.strictSame(Object.keys(limitDefaults), [
    'agents',
    'clients',
    'connections',
    'pendingDials',
    'dialsPerSecond',
    'bufferedBytes',
  ])
  t.strictSame(expectedOf({ id: 'a', limits: limitDefaults }), [])
})

t.test('takes what is just within a limit, and refuses what is just over it', async (t) => {
  const label = 'x'.repeat(63)
  const name = `${label}.${label}.${label}.${'y'.repeat(61)}`
  t.equal(name.length, 253)
  const good: readonly object[] = [
    { id: label },
    { id: 'a', agents: { users: texts(1_000), subjects: ['x'.repeat(1_000)] } },
    { id: 'a', frontends: { serverNames: [name] } },
    { id: 'a', frontends: { socket: `/${'x'.repeat(106)}` } },
    { id: 'a', limits: { agents: 100_000, bufferedBytes: 1_048_576 } },
  ]
  for (const document of good) t.strictSame(expectedOf(document), [])
  const bad: readonly (readonly [document: object, expected: string])[] = [
    [{ id: `${label}x` }, 'id: expected a DNS label such as eu-1'],
    [{ id: 'a', agents: { users: texts(1_001) } }, 'agents.users: expected at most 1000 items, got 1001'],
    [{ id: 'a', agents: { subjects: ['x'.repeat(1_001)] } }, 'agents.subjects[0]: expected at most 1000 characters'],
    [{ id: 'a', agents: { users: [''] } }, 'agents.users[0]: expected at least 1 character, got 0'],
    [
      { id: 'a', frontends: { serverNames: [`${name}y`] } },
      'frontends.serverNames[0]: expected at most 253 characters',
    ],
    [{ id: 'a', frontends: { socket: `/${'x'.repeat(107)}` } }, 'frontends.socket: expected at most 107 characters'],
    [{ id: 'a', limits: { agents: 100_001 } }, 'limits.agents: expected at most 100000, got 100001'],
    [{ id: 'a', limits: { bufferedBytes: 1_048_575 } }, 'limits.bufferedBytes: expected at least 1048576'],
  ]
  for (const [document, expected] of bad) {
    const [told = '', ...more] = expectedOf(document)
    t.ok(told.startsWith(expected), told)
    t.strictSame(more, [])
  }
})

t.test('takes names that look like addresses for server names, and no addresses', async (t) => {
  const problemsOf = (...serverNames: string[]) => expectedOf({ id: 'a', frontends: { serverNames } })
  t.strictSame(problemsOf('10.0.0.7.example', '10-0-0-7', '10.0.0', '10.0.0.x'), [])
  t.match(problemsOf('10.0.0.7', '255.255.255.255'), [/\[0\]: expected .*no IP address.*"10\.0\.0\.7"$/, /\[1\]: /])
  t.match(problemsOf('[fd00::7]', 'fd00::7'), [/\[0\]: expected a host name/, /\[1\]: expected a host name/])
})

t.test('counts all mistakes, tells as many as it is asked for, and points at each', async (t) => {
  const document = { id: 'a', 'x/~y': 1, limits: { agents: 0, clients: 0 } }
  t.match(schemaProblems(document, 1), { count: 3, first: { length: 1 } })
  t.match(schemaProblems({}, 0), { count: 1, first: [] })
  const pointers = schemaProblems(document).first.map(({ pointer }) => pointer)
  t.strictSame(pointers.sort(), ['/limits/agents', '/limits/clients', '/x~1~0y'])
  for (const other of [undefined, null, 1, 'id: a', []]) t.match(expectedOf(other), [/^cluster: expected a map, got /])
})
