import t from 'tap'
import { createClustersReader, readClusters } from '../../src/clusters/read.ts'
import { processorMs } from '../platform/processor-time.ts'

const read = (...texts: string[]) =>
  readClusters(texts.map((text, index) => ({ path: `c${index === 0 ? '' : index}.yaml`, text })))

function problemsOf(...texts: string[]): readonly string[] {
  const result = read(...texts)
  return result.ok ? ['it was read'] : result.problems
}

const FULL = `# the first
id: eu-1
agents:
  subjects: ["O=example, CN=agent"]
  names: ["DNS:Agent.Example", "URI:spiffe://other.example/a"]
  users: [system:serviceaccount:eu-1:agent]
frontends:
  subjects: [CN=apiserver]
  names: [DNS:api.example]
  users: [alice]
  serverNames: [eu-1.hub.example]
  addresses: [192.0.2.0/24, "2001:db8::1"]
  socket: /run/culvert/eu-1.sock
limits:
  agents: 3
  dialsPerSecond: 7
  bufferedBytes: 32MiB
---
id: eu-2
`

t.test('reads every field, and gives the limits that nobody set', async (t) => {
  const result = read(FULL)
  t.ok(result.ok)
  if (!result.ok) return
  const [first, second] = result.value
  t.strictSame(first, {
    id: 'eu-1',
    agents: {
      subjects: ['O=example, CN=agent'],
      names: ['DNS:agent.example', 'URI:spiffe://other.example/a'],
      users: ['system:serviceaccount:eu-1:agent'],
    },
    frontends: {
      subjects: ['CN=apiserver'],
      names: ['DNS:api.example'],
      users: ['alice'],
      serverNames: ['eu-1.hub.example'],
      addresses: ['192.0.2.0/24', '2001:db8::1'],
      socket: '/run/culvert/eu-1.sock',
    },
    limits: {
      agents: 3,
      clients: 20_000,
      connections: 20_000,
      pendingDials: 2_000,
      dialsPerSecond: 7,
      bufferedBytes: 32 * 2 ** 20,
    },
    policy: undefined,
  })
  t.strictSame(second?.agents, { subjects: [], names: [], users: [] })
  t.equal(second?.limits.bufferedBytes, 64 * 2 ** 20)
})

t.test('reads the policy of a cluster, and names what is wrong in it', async (t) => {
  const result = read('id: a\npolicy:\n  rules:\n    - allow: { cidr: 10.0.0.0/8 }\n      from: cluster/a/apiserver\n')
  t.match(result, {
    ok: true,
    value: [{ policy: { version: /^[0-9a-f]{12}$/, rules: [{ verdict: 'allow', from: ['cluster/a/apiserver'] }] } }],
  })
  t.strictSame(problemsOf('id: a\npolicy:\n  rules:\n    - allow: { cidr: 10.0.0.1/8 }\n'), [
    'c.yaml:4: policy.rules.0.allow.cidr: expected the first address of the range, 10.0.0.0/8',
  ])
  t.strictSame(problemsOf('id: a\npolicy:\n  rule: []\n'), [
    'c.yaml:3: policy.rule: expected one of the keys rules, got "rule"',
  ])
  const long = Array.from({ length: 900 }, (_, n) => `"${'a'.repeat(60)}.${'b'.repeat(20)}${n}"`)
  t.match(problemsOf(`id: a\npolicy:\n  rules:\n    - allow: { name: [${long}] }\n`), [
    /^c\.yaml:3: policy\.rules: expected rules that take at most 65536 bytes when they are pushed to agents, got /,
  ])
  t.match(problemsOf('id: a\npolicy: [1]\n'), [/^c\.yaml:2: policy: expected a map/])
})

t.test('takes the files of a folder together, empty ones too', async (t) => {
  const result = read('id: a\n', '# nothing yet\n', '{"id": "b"}\n')
  t.match(result, { ok: true, value: [{ id: 'a' }, { id: 'b' }] })
  t.match(read(''), { ok: true, value: [] })
})

t.test('says every mistake with its line and what was expected', async (t) => {
  t.strictSame(
    problemsOf(`id: EU_1
agents:
  subject: [a]
  names: [agent.example]
frontends:
  serverNames: ["*.Hub", 10.0.0.7.nip.example, "10.0.0.7", "::1"]
  socket: here.sock
limits:
  agents: 0
  bufferedBytes: much
`),
    [
      'c.yaml:1: id: expected a DNS label such as eu-1, got "EU_1"',
      'c.yaml:3: agents: expected one of subjects, names, users, got "subject"',
      'c.yaml:4: agents.names[0]: expected a name such as DNS:agent.example or URI:spiffe://other.example/agent, got "agent.example"',
      'c.yaml:6: frontends.serverNames[0]: expected a host name in lower case such as eu-1.hub.example, got "*.Hub"',
      'c.yaml:6: frontends.serverNames[2]: expected a host name, no IP address: clients send none as TLS server name (SNI), got "10.0.0.7"',
      'c.yaml:6: frontends.serverNames[3]: expected a host name in lower case such as eu-1.hub.example, got "::1"',
      'c.yaml:7: frontends.socket: expected an absolute path without //, /./ and /../, got "here.sock"',
      'c.yaml:9: limits.agents: expected at least 1, got 0',
      'c.yaml:10: limits.bufferedBytes: expected a size such as 64MiB, got "much"',
    ],
  )
  t.strictSame(problemsOf('[a]\n'), ['c.yaml:1: cluster: expected a map, got ["a"]'])
  t.strictSame(problemsOf('-----BEGIN PRIVATE KEY-----\nhunter2\n'), [
    'c.yaml:1: cluster: expected a map, got a text alone',
  ])
  t.strictSame(problemsOf('agents: {}\n'), ['c.yaml:1: cluster: expected id, which is missing'])
  t.strictSame(problemsOf('id: a\nlimits:\n  agents: ten\n'), [
    'c.yaml:3: limits.agents: expected a whole number, got "ten"',
  ])
  t.strictSame(problemsOf('id: a\nlimits: {bufferedBytes: 64KiB}\n'), [
    'c.yaml:2: limits.bufferedBytes: expected at least 1MiB',
  ])
  t.match(problemsOf('id: a\nagents: {users: [b, c, b]}\n'), [
    /^c\.yaml:2: agents\.users: expected each once, got number /,
  ])
})

t.test('refuses what leads to two clusters, across files too', async (t) => {
  t.strictSame(
    problemsOf(
      `id: a
agents: {subjects: [CN=x], names: ["DNS:X.example"], users: [u]}
frontends: {subjects: [CN=y], names: ["DNS:y"], serverNames: [s.example], socket: /s}
`,
      `id: b
agents: {subjects: [CN=x], names: ["DNS:x.EXAMPLE"], users: [u]}
frontends: {subjects: [CN=y], names: ["DNS:Y"], serverNames: [s.example], socket: /s}
---
id: a
`,
    ),
    [
      'c1.yaml:2: subject of agents "CN=x" is that of cluster a already, at c.yaml:2',
      'c1.yaml:2: name of agents "DNS:x.example" is that of cluster a already, at c.yaml:2',
      'c1.yaml:2: user of agents "u" is that of cluster a already, at c.yaml:2',
      'c1.yaml:3: subject of frontends "CN=y" is that of cluster a already, at c.yaml:3',
      'c1.yaml:3: name of frontends "DNS:y" is that of cluster a already, at c.yaml:3',
      'c1.yaml:3: server name "s.example" is that of cluster a already, at c.yaml:3',
      'c1.yaml:3: socket "/s" is that of cluster a already, at c.yaml:3',
      'c1.yaml:5: cluster "a" is that of cluster a already, at c.yaml:1',
    ],
  )
})

t.test('takes a range of addresses for one cluster only, in whatever spelling, and none that is none', async (t) => {
  const from = (id: string, ...ranges: string[]): string =>
    `id: ${id}\nfrontends: {addresses: ${JSON.stringify(ranges)}}\n`
  t.strictSame(problemsOf(from('a', '2001:db8::/32', '10.0.0.1'), from('b', '2001:DB8:0::/32', '::ffff:10.0.0.1')), [
    'c1.yaml:2: address of clients "2001:db8::/32" is that of cluster a already, at c.yaml:2',
    'c1.yaml:2: address of clients "10.0.0.1" is that of cluster a already, at c.yaml:2',
  ])
  t.ok(read(from('a', '10.0.0.0/8'), from('b', '10.1.0.0/16')).ok, 'one within another')
  const expected = 'expected an address or a range such as 192.0.2.0/24'
  for (const wrong of ['10.0.0.1/8', '10.0.0.0/33', '1.2.3', '1:2']) {
    t.strictSame(problemsOf(from('a', '10.0.0.0/8', wrong)), [`c.yaml:2: frontends.addresses.1: ${expected}`], wrong)
  }
  t.match(problemsOf(from('a', 'host.example')), [
    /^c.yaml:2: frontends.addresses\[0\]: expected an address or a range/,
  ])
})

t.test('lets a user reach several clusters, and a certificate be of agents here and of clients there', async (t) => {
  const texts = [
    'id: a\nfrontends: {users: [alice], subjects: [CN=x]}\n',
    'id: b\nfrontends: {users: [alice]}\nagents: {subjects: [CN=x]}\n',
  ]
  t.ok(read(...texts).ok)
})

t.test('never throws and never hangs on what is no such file', async (t) => {
  const cycle = 'id: a\nagents: &a\n  names: [*a]\n'
  const nested = `id: ${'['.repeat(50_000)}`
  for (const text of [
    cycle,
    nested,
    '\u0000',
    '? - a\n: b',
    'id: a\nid: b\n',
    '!!js/function x',
    '%YAML 9.9\n---\nid: a\n',
  ]) {
    t.notOk(read(text).ok, JSON.stringify(text.slice(0, 40)))
  }
  t.match(problemsOf(`id: a\n${'#'.repeat(3 * 2 ** 20)}`), [/expected at most/])
})

t.test('says no more than anybody would read', async (t) => {
  const problems = problemsOf(...Array.from({ length: 80 }, () => 'id: A\n'))
  t.equal(problems.length, 51)
  t.equal(problems.at(-1), 'and 30 more')
})

t.test('tells of mistakes without number as of a few, at once', async (t) => {
  const soon = (what: string, text: string, count: number): void => {
    let problems: readonly string[] = []
    const tookMs = processorMs(() => {
      problems = problemsOf(text)
    })
    t.equal(problems.length, 51, what)
    t.equal(problems.at(-1), `and ${count - 50} more`)
    t.ok(tookMs < 10_000, `${what}: ${tookMs} ms`)
  }
  const subjects = Array.from({ length: 1_000 }, (_, index) => index.toString(36))
  const list = `[${subjects.map((subject) => JSON.stringify(subject)).join()}]`
  const cluster = (_: unknown, index: number): string => `id: c${index}\nagents: {subjects: ${list}}\n`
  soon('conflicts', Array.from({ length: 160 }, cluster).join('---\n'), 159_000)
  const keys = Array.from({ length: 150_000 }, (_, index) => `k${index.toString(36)}: 1\n`)
  soon('unknown keys', `id: a\n${keys.join('')}`, 150_000)
})

t.test('takes no clusters at all at the start only, as long as there were none', async (t) => {
  const readAgain = createClustersReader()
  const file = (text: string) => [{ path: 'c.yaml', text }]
  t.match(readAgain([]), { ok: true, value: [] })
  t.match(readAgain(file('# soon')), { ok: true, value: [] })
  t.match(readAgain(file('id: a\n')), { ok: true })
  const problems = ['--clusters: expected at least one cluster, got none where there were some']
  t.strictSame(readAgain(file('')), { ok: false, problems })
  t.strictSame(readAgain([]), { ok: false, problems }, 'and so the next time')
  t.match(readAgain(file('id: b\n')), { ok: true })
})

t.test('takes a socket only as its path is written shortest, so that two clusters never share one', async (t) => {
  const read = (socket: string) => readClusters([{ path: 'c.yaml', text: `id: a\nfrontends: {socket: ${socket}}\n` }])
  for (const socket of ['/run/a.sock', '/..a/.b', '/a']) t.match(read(socket), { ok: true }, socket)
  for (const socket of [
    '/run/./a.sock',
    '//run/a.sock',
    '/run//a.sock',
    '/run/../a.sock',
    '/run/..',
    '/.',
    '/',
    '/run/',
  ]) {
    t.match(read(socket), { ok: false, problems: [/frontends\.socket: expected an absolute path/] }, socket)
  }
})
