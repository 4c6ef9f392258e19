import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import t from 'tap'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { eventually, within } from '../integration/deadline.ts'
import { agentPort, ca, connectAgent, joinAgent, leaves, openStream, taken } from './agent-port.ts'

const stock = { agentid: 'a', agentidentifiers: 'host=n1' }

t.test('tells an agent at once who it has reached, and its owner who came', async (t) => {
  const { port, connected, metrics } = await agentPort(t)
  const agent = await joinAgent(t, port)
  t.match(await agent.answer, {
    ':status': 200,
    'content-type': 'application/grpc',
    serverid: 's-1',
    servercount: '3',
    ...taken,
  })
  t.match(connected, [{ agentId: 'a', cluster: 'default', hosts: new Set(), defaultRoute: false, draining: false }])
  t.match(connected[0]?.record, { principal: 'cluster/eu-1/agent/a1', remoteAddress: '127.0.0.1' })
  t.strictSame(metrics.counted, [])
})

t.test('says nothing of extensions to an agent that did not ask, and takes those only that both know', async (t) => {
  const { port, connected } = await agentPort(t)
  const plain = await joinAgent(t, port, stock)
  t.notOk('culvert-extensions' in (await plain.answer))
  const other = await joinAgent(t, port, { ...stock, 'culvert-extensions': 'ping/1, flow-control/2, x/1,,heartbeat/1' })
  t.equal((await other.answer)['culvert-extensions'], 'heartbeat/1,ping/1')
  t.strictSame(
    connected.map(({ record }) => record.extensions),
    [[], ['heartbeat', 'ping']],
  )
})

t.test('takes two streams of one agent id for two agents', async (t) => {
  const { port, connected, gone } = await agentPort(t)
  const [one, two] = [await joinAgent(t, port), await joinAgent(t, port)]
  await Promise.all([one.answer, two.answer])
  t.equal(connected.length, 2)
  one.stream.end()
  await eventually(
    'the end',
    () => gone.length,
    (count) => count === 1,
  )
  t.equal(gone[0], connected[0])
})

t.test('takes as many streams of one certificate as it may, and another one when one of them has ended', async (t) => {
  const { port, gone, metrics } = await agentPort(t, { listener: { maxStreamsPerIdentity: 2 } })
  const [one, two] = [await joinAgent(t, port), await joinAgent(t, port)]
  await Promise.all([one.answer, two.answer])
  const third = await joinAgent(t, port)
  t.match(await third.status, ['8', '2 agents are connected with this identity'])
  t.strictSame(metrics.counted, [['agentRefused', 'too_many']])
  one.stream.end()
  await eventually(
    'the end',
    () => gone.length,
    (count) => count === 1,
  )
  t.match(await (await joinAgent(t, port)).answer, { ':status': 200 })
})

t.test('takes as many identifiers of one certificate as it may, of agents that are there', async (t) => {
  const { port, connected, gone, metrics } = await agentPort(t, { listener: { maxIdentifiersPerIdentity: 5 } })
  const named = (agentidentifiers: string) => joinAgent(t, port, { agentid: 'a', agentidentifiers })
  const one = await named('host=n1&ipv4=10.0.0.1&cidr=10.0.0.0/8&default-route=true')
  await one.answer
  const tooMany = 'agents with this identity would have 6 identifiers'
  t.match(await (await named('host=n1&host=n2&ipv6=fd00::1')).status, ['8', tooMany])
  t.strictSame(metrics.counted, [['agentRefused', 'too_many']])
  t.match(await (await named('host=n1&host=n1&ipv6=fd00::1')).answer, { ':status': 200 }, 'each once')
  t.match(await (await named('default-route=true')).answer, { ':status': 200 })
  t.strictSame([...connected[1]!.hosts], ['fd00::1', 'n1'])
  one.stream.end()
  await eventually(
    'the end',
    () => gone.length,
    (count) => count === 1,
  )
  t.match(await (await named('host=n1&host=n2&ipv6=fd00::1')).answer, { ':status': 200 }, 'room again')
})

t.test('tells whoever may not register why, counts it, and hangs up a little later', async (t) => {
  const refusals: readonly (readonly [
    CertificateAndKey | 'none',
    OutgoingHttpHeaders,
    string,
    string | RegExp,
    string,
  ])[] = [
    ['none', stock, '16', 'client certificate not accepted: none was sent', 'unauthenticated'],
    [leaves.user, stock, '16', /it is a user certificate, and this port is for agent certificates$/, 'unauthenticated'],
    [leaves.agent, {}, '2', 'expected one agent ID in the context, got []', 'metadata'],
    [leaves.agent, { agentid: ['a', 'b'] }, '2', 'expected one agent ID in the context, got [a b]', 'metadata'],
    [leaves.agent, { ...stock, agentidentifiers: 'a;b' }, '2', /^fail to parse url encoded string: /, 'metadata'],
    [leaves.agent, { ...stock, x: 'y'.repeat(20_000) }, '8', /over the limit of 16384 bytes$/, 'metadata'],
    [
      leaves.agent,
      { ...stock, ':path': '/ProxyService/Proxy' },
      '12',
      'unknown service ProxyService',
      'unknown_method',
    ],
    [leaves.agent, { ...stock, ':path': '/AgentService/X' }, '12', /^unknown method X for/, 'unknown_method'],
    [leaves.agent, { ...stock, ':path': '/' }, '12', 'malformed method name: "/"', 'unknown_method'],
    [leaves.agent, { ...stock, ':method': 'GET' }, '12', /AgentService/, 'unknown_method'],
    [leaves.agent, { ...stock, 'grpc-encoding': 'gzip' }, '12', /^grpc: Decompressor .* "gzip"$/, 'encoding'],
  ]
  const { port, connected, clock, metrics, log } = await agentPort(t)
  for (const [who, headers, code, message, why] of refusals) {
    metrics.counted.length = 0
    const agent = await joinAgent(t, port, headers, who)
    t.match(await agent.status, [code, message])
    t.match(metrics.counted.at(-1), ['agentRefused', why])
    t.match(log.lines.at(-1), { message: 'agent refused', fields: { why, remote: '127.0.0.1' } })
    const closed = within(once(agent.socket, 'close'), 'the hang-up')
    clock.advance(1_000)
    await closed
  }
  t.equal(connected.length, 0)
  t.equal(clock.waiting(), 0)
})

t.test('warns of an agent that comes back again and again once a minute, whatever words it finds', async (t) => {
  const { port, clock, log } = await agentPort(t)
  const refusedFor = async (path: string): Promise<void> => {
    await (await joinAgent(t, port, { ...stock, ':path': path }, leaves.agent)).status
  }
  for (const path of ['/a', '/b', '/b']) await refusedFor(path)
  await (await joinAgent(t, port, stock, 'none')).status
  clock.advance(60_000)
  await refusedFor('/c')
  const warnings = log.lines.filter(({ level, message }) => level === 'warn' && message === 'agent refused')
  t.match(
    warnings.map(({ fields }) => [fields.why, fields.repeated]),
    [
      ['unknown_method', undefined],
      ['unauthenticated', undefined],
      ['unknown_method', 2],
    ],
  )
  t.equal(warnings.length, 3)
})

t.test('counts a certificate that is not accepted by its port, too', async (t) => {
  const { port, metrics } = await agentPort(t)
  await (await joinAgent(t, port, stock, 'none')).status
  t.strictSame(metrics.counted, [
    ['clientForbidden', 'agent'],
    ['agentRefused', 'unauthenticated'],
  ])
})

t.test('takes anybody where it has no CA to judge by', async (t) => {
  const { server } = leaves
  const { port, connected } = await agentPort(t, {
    listener: { material: { cert: server.certificatePem, key: server.keyPem } },
  })
  await (await joinAgent(t, port, stock, leaves.user)).answer
  t.equal(connected[0]?.record.principal, 'anonymous')
})

t.test('gives a connection one stream, and does not hold the second against the first', async (t) => {
  const { port, connected, gone, metrics } = await agentPort(t)
  const agent = await joinAgent(t, port)
  await agent.answer
  for (let count = 0; count < 3; count++) {
    t.match(await openStream(agent.http, stock).status, ['8', 'one stream per connection'])
  }
  t.strictSame(metrics.counted, Array(3).fill(['agentRefused', 'second_stream']))
  agent.send({ type: 'PING', nonce: 7 })
  t.match(await agent.next('PONG'), { nonce: 7 })
  t.strictSame([connected.length, gone.length], [1, 0])
})

t.test('hangs up on a connection that opens no stream in time', async (t) => {
  const { port, clock, metrics } = await agentPort(t)
  const socket = await connectAgent(t, port)
  await eventually('the deadline', clock.waiting, (count) => count === 1)
  clock.advance(9_999)
  t.strictSame(metrics.counted, [])
  const closed = within(once(socket.resume(), 'close'), 'the hang-up')
  clock.advance(1)
  await closed
  t.strictSame(metrics.counted, [['agentRefused', 'slow']])
})

t.test('leaves no timer of a connection that ends before its stream', async (t) => {
  const { port, clock, metrics } = await agentPort(t)
  const socket = await connectAgent(t, port)
  await eventually('the deadline', clock.waiting, (count) => count === 1)
  socket.destroy()
  await eventually('nothing to wait for', clock.waiting, (count) => count === 0)
  t.strictSame(metrics.counted, [])
})

t.test('speaks HTTP/2 and nothing else', async (t) => {
  const { port, clock, connected } = await agentPort(t)
  const socket = await connectAgent(t, port)
  socket.write('GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n')
  await within(once(socket.resume(), 'close'), 'the hang-up')
  await eventually('nothing to wait for', clock.waiting, (count) => count === 0)
  t.equal(connected.length, 0)
})

t.test('counts handshakes that fail, and connections beyond those that may wait for one', async (t) => {
  const { port, metrics } = await agentPort(t, { listener: { handshakesPerSecond: 1, handshakeTimeoutMs: 1_000 } })
  const sockets = [1, 2, 3].map(() => connectTcp({ port, host: '127.0.0.1' }).on('error', () => undefined))
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()))
  await within(Promise.race(sockets.map((socket) => once(socket.resume(), 'close'))), 'one is turned away')
  t.strictSame(metrics.counted, [['handshakeFailed', 'agent', 'too_many']])
  for (const socket of sockets) socket.end('hello?')
  await eventually(
    'the garbage',
    () => metrics.counted.length,
    (count) => count === 2,
  )
  t.strictSame(metrics.counted[1], ['handshakeFailed', 'agent', 'failed'])
})

t.test('takes no new agents once it is closed, and keeps those it has', async (t) => {
  const { port, listener, connected, gone, metrics } = await agentPort(t)
  const agent = await joinAgent(t, port)
  await agent.answer
  listener.close()
  t.match(await (await joinAgent(t, port)).status, ['14', 'the server is shutting down'])
  t.strictSame(metrics.counted, [['agentRefused', 'shutdown']])
  agent.send({ type: 'PING', nonce: 1 })
  await agent.next('PONG')
  t.strictSame([connected.length, gone.length], [1, 0])
})

t.test('serves renewed material to those that connect later', async (t) => {
  const { port, listener } = await agentPort(t)
  const old = await joinAgent(t, port)
  await old.answer
  listener.renew({ cert: leaves.server.certificatePem, key: leaves.server.keyPem, ca: `${ca}\n` })
  await (await joinAgent(t, port)).answer
  old.send({ type: 'PING', nonce: 1 })
  t.match(await old.next('PONG'), { nonce: 1 })
})
