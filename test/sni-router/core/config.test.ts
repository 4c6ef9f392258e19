import t from 'tap'
import { type Given, type GivenRoute, readConfig } from '../../../src/sni-router/core/config.ts'

const base: Given & { readonly routes: readonly GivenRoute[] } = {
  listen: [{ port: 443 }],
  routes: [{ name: 'a', hosts: ['a.example'], backends: ['10.0.0.1:8091'] }],
}
const problemsOf = (given: Partial<Given>) =>
  readConfig({ ...base, ...given }).problems.map(({ at, what }) => `${at} ${what}`)
const withRoute = (route: object) => problemsOf({ routes: [{ ...base.routes[0]!, ...route }] })

t.test('reads a small configuration, with the defaults that docs/front-door.md names', async (t) => {
  const { config, problems } = readConfig(base)
  t.strictSame(problems, [])
  t.strictSame(config, {
    listen: [{ address: '', port: 443, proxyProtocolFrom: [] }],
    routes: [
      {
        name: 'a',
        hosts: [{ kind: 'exact', name: 'a.example' }],
        alpn: [],
        backends: [{ host: '10.0.0.1', port: 8091 }],
        proxyProtocol: 'none',
        maxConnections: Number.POSITIVE_INFINITY,
      },
    ],
    fallback: undefined,
    limits: {
      connections: 20_000,
      pendingHellos: 1_000,
      connectionsPerSource: 5_000,
      pendingHellosPerSource: 250,
      pendingDialsPerRoute: 1_000,
      helloTimeoutMs: 5_000,
      dialTimeoutMs: 3_000,
      dialDeadlineMs: 10_000,
      idleTimeoutMs: 0,
      halfClosedTimeoutMs: 600_000,
    },
    health: { intervalMs: 5_000, timeoutMs: 2_000, fall: 2, rise: 1 },
  })
})

t.test('backends of a route say where they are asked, of others they are not', async (t) => {
  const { config } = readConfig({
    ...base,
    routes: [{ ...base.routes[0]!, readiness: { port: 8092 } }],
    default: { backends: ['[::1]:1'], readiness: { port: 9, path: '/well' } },
  })
  t.strictSame(config.routes[0]?.backends, [
    { host: '10.0.0.1', port: 8091, readiness: { port: 8092, path: '/readyz' } },
  ])
  t.strictSame(config.fallback?.backends, [{ host: '::1', port: 1, readiness: { port: 9, path: '/well' } }])
})

t.test('gives one route of several half of all, unless it says otherwise', async (t) => {
  const routes = [base.routes[0]!, { name: 'b', hosts: ['b.example'], backends: ['b:1'], maxConnections: 9 }]
  const shares = (given: Partial<Given>) => {
    const { config } = readConfig({ ...base, limits: { connections: 31 }, ...given })
    return [...config.routes, ...(config.fallback ? [config.fallback] : [])].map((route) => route.maxConnections)
  }
  t.strictSame(shares({ routes }), [16, 9])
  t.strictSame(shares({ default: { backends: ['a:1'] } }), [16, 16])
})

t.test('reads all that can be set', async (t) => {
  const { config, problems } = readConfig({
    listen: [{ address: '::1', port: 0, proxyProtocolFrom: ['10.0.0.0/8', 'fd00::1'] }],
    routes: [
      {
        ...base.routes[0]!,
        alpn: ['h2'],
        proxyProtocol: 'v2',
        maxConnections: 5,
        backends: ['[::1]:1', 'Db.Example.:2'],
      },
    ],
    default: { backends: ['a:1'], proxyProtocol: 'v1', maxConnections: 7 },
    limits: {
      connections: 1,
      pendingHellos: 2,
      connectionsPerSource: 3,
      pendingDialsPerRoute: 7,
      pendingHellosPerSource: 4,
      helloTimeout: '1s',
      dialTimeout: '2s',
      dialDeadline: '3s',
      idleTimeout: '1h',
      halfClosedTimeout: '1m',
    },
    healthCheck: { interval: '100ms', timeout: '1s', fall: 3, rise: 4 },
  })
  t.strictSame(problems, [])
  t.strictSame(config.routes[0]?.backends, [
    { host: '::1', port: 1 },
    { host: 'db.example', port: 2 },
  ])
  t.match(config.fallback, {
    name: 'default',
    backends: [{ host: 'a', port: 1 }],
    proxyProtocol: 'v1',
    maxConnections: 7,
  })
  t.match(config.limits, {
    connections: 1,
    pendingHellos: 2,
    connectionsPerSource: 3,
    pendingDialsPerRoute: 7,
    pendingHellosPerSource: 4,
    helloTimeoutMs: 1_000,
    dialTimeoutMs: 2_000,
    dialDeadlineMs: 3_000,
    idleTimeoutMs: 3_600_000,
    halfClosedTimeoutMs: 60_000,
  })
  t.strictSame(config.health, { intervalMs: 100, timeoutMs: 1_000, fall: 3, rise: 4 })
})

t.test('says of each value that is none what was expected', async (t) => {
  for (const backend of [
    'a',
    'a:',
    'a:0',
    'a:65536',
    '::1:80',
    '[a]:1',
    '[10.0.0.1]:1',
    '10.0.0.256:1',
    '10.0.0:1',
    'a b:1',
    ':1',
  ]) {
    t.strictSame(withRoute({ backends: [backend] }), [
      `/routes/0/backends/0 expected host:port, an IPv6 address in brackets, got ${JSON.stringify(backend)}`,
    ])
  }
  t.match(withRoute({ hosts: ['ok', 'a.*'] }), [
    /^\/routes\/0\/hosts\/1 expected a name, or one that begins with "\*\.", got "a\.\*"$/,
  ])
  t.match(problemsOf({ listen: [{ port: 1, address: 'localhost' }] }), [/^\/listen\/0\/address expected an IP address/])
  t.match(problemsOf({ listen: [{ port: 1, proxyProtocolFrom: ['10.0.0.1/8'] }] }), [
    /^\/listen\/0\/proxyProtocolFrom\/0 expected an address or a range/,
  ])
  t.match(problemsOf({ limits: { helloTimeout: '5', dialTimeout: '0s', idleTimeout: '-1s' } }), [
    /^\/limits\/helloTimeout expected a duration such as 250ms, 10s or 5m, at least 1ms, got "5"$/,
    /^\/limits\/dialTimeout /,
    /^\/limits\/idleTimeout expected a duration such as 250ms, 10s or 5m, got "-1s"$/,
  ])
  t.match(problemsOf({ limits: { halfClosedTimeout: '600h' } }), [/halfClosedTimeout/], 'a timer would fire at once')
  t.match(problemsOf({ healthCheck: { interval: '99ms' } }), [/^\/healthCheck\/interval .*at least 100ms/])
})

t.test('gives one backend no more time than all together have', async (t) => {
  const dial = (limits: NonNullable<Given['limits']>) => problemsOf({ limits })
  t.strictSame(dial({ dialTimeout: '10s' }), [])
  t.strictSame(dial({ dialTimeout: '10001ms' }), [
    '/limits/dialTimeout expected at most 10s, the dialDeadline, got 10.001s',
  ])
  t.strictSame(dial({ dialDeadline: '2s' }), ['/limits/dialTimeout expected at most 2s, the dialDeadline, got 3s'])
})

t.test('says what clashes, and what to do', async (t) => {
  const [route] = base.routes
  const two = (other: object) =>
    problemsOf({ routes: [route!, { ...route!, name: 'b', hosts: ['b.example'], ...other }] })
  t.strictSame(two({}), [])
  t.match(two({ name: 'a' }), [/^\/routes\/1\/name "a" is the name of another route: choose another$/])
  t.match(two({ name: 'default' }), [/^\/routes\/1\/name "default" is the name of the default route/])
  t.match(two({ hosts: ['A.example.'] }), [
    /^\/routes\/1\/hosts\/0 a\.example for any protocol is in route "a" already: leave it to one, or set alpn$/,
  ])
  t.strictSame(two({ hosts: ['a.example'], alpn: ['h2'] }), [])
  t.match(withRoute({ alpn: ['h2', 'h2'] }), [/for the protocol "h2" is in route "a" already/])
  t.match(withRoute({ hosts: ['*.example', '*.EXAMPLE'] }), [/\*\.example for any protocol/])
  t.match(withRoute({ backends: ['a:1', 'b:1', 'A:1'] }), [/^\/routes\/0\/backends\/2 a:1 is there twice/])
})

t.test('listens at each address and port once, but for port 0', async (t) => {
  const at = (address: string, port: number) => ({ address, port })
  t.strictSame(problemsOf({ listen: [at('10.0.0.1', 443), at('10.0.0.1', 444), at('10.0.0.2', 443)] }), [])
  t.strictSame(problemsOf({ listen: [{ port: 0 }, { port: 0 }] }), [])
  const again = '/listen/1 is the address and port of listen[0]: leave one of them out'
  t.strictSame(problemsOf({ listen: [{ port: 443 }, at('::', 443)] }), [again])
  t.strictSame(
    problemsOf({ listen: [{ port: 443 }, at('0.0.0.0', 443)] }),
    [again],
    'an empty address is for both families',
  )
  t.strictSame(problemsOf({ listen: [at('::1', 443), at('0:0::1', 443)] }), [again])
})
