import t from 'tap'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import { createClusters } from '../../src/proxy-server/core/clusters.ts'
import type { Connection } from '../../src/tunnel/connection.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { eventually } from '../integration/deadline.ts'
import { hearing } from '../tunnel/one-session.ts'
import { type AgentPort, agentPort, joinAgent } from './agent-port.ts'

const stock = { agentid: 'a', agentidentifiers: '' }
/** All that is to be done for its end is done; an agent that does not end its own side is hung up on. */
async function ended({ clock, metrics }: AgentPort): Promise<void> {
  clock.advance(1_000)
  const isEnd = ([verb]: (typeof metrics.counted)[number]): boolean => verb === 'streamEnded'
  await eventually(
    'the end of the stream',
    () => metrics.counted,
    (counted) => counted.some(isEnd),
  )
}

t.test('keeps in its record what heartbeats say', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port)
  await agent.answer
  const { record } = port.connected[0]!
  t.match(record, { connectedUnixMs: 0, heardUnixMs: 0, heartbeatSeq: undefined, health: undefined })
  port.clock.advance(1_000)
  agent.send({ type: 'HEARTBEAT', seq: 1, sentUnixMs: 5_000, health: { uptimeMs: 60_000 } })
  await agent.next('HEARTBEAT_ACK')
  t.match(record, { heardUnixMs: 1_000, heartbeatSeq: 1, health: { uptimeMs: 60_000 } })
  t.equal(record.clockSkewMs, undefined, 'not known without a round trip')
  const { nonce } = await agent.next('PING')
  port.clock.advance(20)
  agent.send({ type: 'PONG', nonce })
  await eventually(
    'the round trip',
    () => record.roundTripMs,
    (ms) => ms !== undefined,
  )
  t.equal(record.roundTripMs, 20)
  t.strictSame(port.metrics.counted, [['roundTrip', 20]])
  agent.send({ type: 'HEARTBEAT', seq: 2, sentUnixMs: 6_010, health: {} })
  await agent.next('HEARTBEAT_ACK')
  t.match(record, { heartbeatSeq: 2, health: {}, clockSkewMs: 5_000 })
})

t.test('keeps in its record when it last heard of a stock agent, which has no heartbeat', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port, stock)
  await agent.answer
  const { record } = port.connected[0]!
  port.clock.advance(5_000)
  await eventually(
    'the answer to a ping',
    () => record.heardUnixMs,
    (ms) => ms === 5_000,
  )
  t.match(record, { heartbeatSeq: undefined, health: undefined })
  t.type(record.roundTripMs, 'number')
})

t.test('marks an agent that drains', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port)
  await agent.answer
  agent.send({ type: 'DRAIN' })
  agent.send({ type: 'DRAIN' })
  agent.send({ type: 'PING', nonce: 1 })
  await agent.next('PONG')
  t.equal(port.connected[0]?.draining, true)
  t.strictSame(port.draining, port.connected, 'told once')
  t.equal(port.gone.length, 0)
})

t.test('ends a stream with a status, breaks its connections, and tells of its end once', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port)
  await agent.answer
  const self = port.connected[0]!
  const heard = hearing()
  self.session.dial(
    { random: 1, protocol: 'tcp', address: 'a:1' },
    { connected: () => heard.events, failed: () => undefined },
  )
  await agent.next('DIAL_REQ')
  agent.send({ type: 'DIAL_RSP', error: '', connectId: 1, random: 1 })
  await eventually('the connection', self.session.connectionCount, (count) => count === 1)
  self.end('UNAVAILABLE', 'the server is shutting down: 100%', 'shutdown')
  self.end('INTERNAL', 'again', 'protocol_error')
  t.match(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'the server is shutting down: 100%' }])
  t.strictSame(await agent.status, ['14', 'the server is shutting down: 100%'])
  await ended(port)
  port.clock.advance(60_000)
  t.strictSame(port.gone, [self])
  t.strictSame(port.metrics.counted, [['streamEnded', 'shutdown']])
})

t.test('gives no dial to a stream that the server has ended, however long its end takes', async (t) => {
  const clusters = createClusters<AgentStream>(['default'])
  const port = await agentPort(t, { whenGone: (agent) => clusters.remove('default', agent) })
  for (const agentid of ['a', 'b']) await (await joinAgent(t, port.port, { ...stock, agentid })).answer
  const [a, b] = port.connected as [AgentStream, AgentStream]
  clusters.add('default', a)
  clusters.add('default', b)
  const tried: (AgentStream | undefined)[] = []
  a.session.dial(
    { random: 1, protocol: 'tcp', address: 'a:1' },
    { connected: () => hearing().events, failed: () => void tried.push(clusters.pick('default', 'a:1', 0)) },
  )
  a.end('UNAVAILABLE', 'nothing heard from the agent for too long', 'heartbeat_timeout')
  t.strictSame(tried, [b], 'not even a dial that is lost by that very end')
  t.equal(clusters.pick('default', 'a:1', 0), b)
})

t.test('ends the stream of an agent that is silent for too long', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port)
  await agent.answer
  port.clock.advance(12_000)
  t.strictSame(await agent.status, ['14', 'nothing heard from the agent for too long'])
  await ended(port)
  t.strictSame(port.metrics.counted, [['streamEnded', 'heartbeat_timeout']])
})

t.test('lets an agent live that says anything at all in time', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port)
  await agent.answer
  for (let beat = 1; beat <= 3; beat++) {
    port.clock.advance(11_000)
    agent.send({ type: 'PING', nonce: beat })
    await agent.next('PONG')
  }
  t.equal(port.gone.length, 0)
})

t.test('ends a stream whose bytes make no sense, and says what is wrong with them', async (t) => {
  const bad: [Buffer, string, RegExp, string][] = [
    [Buffer.from('0000010001', 'hex'), '8', /^grpc: received message larger than max: /, 'too_large'],
    [Buffer.from('0000000001ff', 'hex'), '13', /^grpc: failed to unmarshal the received message: /, 'protocol_error'],
    [Buffer.from('0100000000', 'hex'), '13', /compress/, 'protocol_error'],
  ]
  for (const [bytes, code, message, how] of bad) {
    const port = await agentPort(t)
    const agent = await joinAgent(t, port.port)
    await agent.answer
    agent.sendRaw(bytes)
    t.match(await agent.status, [code, message])
    await ended(port)
    t.strictSame(port.metrics.counted, [['streamEnded', how]])
  }
})

t.test('counts frames that mean nothing, and ends the stream of an agent that sends too many', async (t) => {
  const limits = { pendingDials: 1, connections: 1, unknownFramesPerMinute: 2 }
  const stockLimits = { connectionBytes: 1_000_000, streamBytes: 1_000_000, slowBytes: 1, slowMs: 1_000 }
  const port = await agentPort(t, { stream: { limits: { ...limits, stock: stockLimits } } })
  const agent = await joinAgent(t, port.port)
  await agent.answer
  const stray = { type: 'DIAL_RSP', error: 'x', connectId: 0, random: 9 } as const
  agent.send(stray, stray)
  agent.send({ type: 'PING', nonce: 1 })
  await agent.next('PONG')
  t.strictSame(port.metrics.counted, Array(2).fill(['violation', 'unknown-dial']))
  agent.send(stray)
  t.match(await agent.status, ['8', 'too many frames that mean nothing here'])
})

t.test('tells an agent that leaves from one that is lost', async (t) => {
  const leaving = await agentPort(t)
  const polite = await joinAgent(t, leaving.port)
  await polite.answer
  polite.stream.end()
  t.strictSame(await polite.status, ['0', ''])
  await ended(leaving)
  t.strictSame(leaving.metrics.counted, [['streamEnded', 'closed']])
  const losing = await agentPort(t)
  const rude = await joinAgent(t, losing.port)
  await rude.answer
  rude.socket.destroy()
  await ended(losing)
  t.strictSame(losing.metrics.counted, [['streamEnded', 'lost']])
  t.equal(losing.gone[0]?.session.connectionCount(), 0)
})

t.test('counts an agent that is not read because a client takes nothing, until it is read or gone', async (t) => {
  const stockLimits = { connectionBytes: 10, streamBytes: 1_000_000, slowBytes: 0, slowMs: 1_000_000 }
  const limits = { pendingDials: 1, connections: 1, unknownFramesPerMinute: 2, stock: stockLimits }
  const port = await agentPort(t, { stream: { limits } })
  const agent = await joinAgent(t, port.port, stock)
  await agent.answer
  const opened = Promise.withResolvers<Connection>()
  const dial = {
    connected(connection: Connection) {
      opened.resolve(connection)
      return hearing().events
    },
    failed: () => undefined,
  }
  port.connected[0]?.session.dial({ random: 1, protocol: 'tcp', address: 'a:1' }, dial)
  await agent.next('DIAL_REQ')
  const data = { type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(100) } as const
  agent.send({ type: 'DIAL_RSP', error: '', connectId: 1, random: 1 }, data)
  const connection = await opened.promise
  const counted = (count: number): Promise<unknown> =>
    eventually(
      `${count} changes`,
      () => port.metrics.counted.length,
      (found) => found === count,
    )
  await counted(1)
  taken(connection, 100)
  agent.send(data)
  await counted(3)
  agent.socket.destroy()
  await ended(port)
  t.strictSame(port.metrics.counted, [
    ...[1, -1, 1, -1].map((change) => ['agentPaused', change]),
    ['streamEnded', 'lost'],
  ])
})

t.test('leaves a stock agent time to write to the target before it asks it to close', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port, stock)
  await agent.answer
  const { session } = port.connected[0]!
  const opened = Promise.withResolvers<Connection>()
  const dial = {
    connected(connection: Connection) {
      opened.resolve(connection)
      return hearing().events
    },
    failed: () => undefined,
  }
  session.dial({ random: 1, protocol: 'tcp', address: 'a:1' }, dial)
  await agent.next('DIAL_REQ')
  agent.send({ type: 'DIAL_RSP', error: '', connectId: 1, random: 1 })
  const connection = await opened.promise
  send(connection, Buffer.from('all I had'))
  end(connection)
  await eventually(
    'the wait, from when the data has left',
    () => port.clock.asked,
    (asked) => asked.includes(50),
  )
  port.clock.advance(49)
  session.dial({ random: 2, protocol: 'tcp', address: 'a:2' }, dial) // what would have been sent has come when this has
  await agent.next('DIAL_REQ')
  t.strictSame(
    agent.received.map(({ type }) => type),
    ['DIAL_REQ', 'DATA', 'DIAL_REQ'],
  )
  port.clock.advance(1)
  t.match(await agent.next('CLOSE_REQ'), { connectId: 1 })
})

t.test('fails the dials of an agent that is lost', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port)
  await agent.answer
  const failures: unknown[] = []
  const dial = { connected: () => hearing().events, failed: (failure: unknown) => failures.push(failure) }
  port.connected[0]?.session.dial({ random: 1, protocol: 'tcp', address: 'a:1' }, dial)
  await agent.next('DIAL_REQ')
  agent.socket.destroy()
  await ended(port)
  t.strictSame(failures, [{ kind: 'lost', reason: 'the agent stream ended' }])
})

t.test('carries the ids of an agent in each of its log lines', async (t) => {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port, { ...stock, agentid: 'n\u00e9' })
  await agent.answer
  agent.stream.end()
  await ended(port)
  const lines = port.log.lines.filter(({ message }) => message.startsWith('agent '))
  t.match(lines, [{ message: 'agent connected' }, { message: 'agent disconnected', fields: { how: 'closed' } }])
  for (const { fields } of lines) t.match(fields, { cluster: 'default', remote: '127.0.0.1', agent: /^n/ })
})

t.test(
  'ends the agent that began its message first when all hold too much of messages they do not finish',
  async (t) => {
    const { port, gone } = await agentPort(t, { begunBytes: 250_000, stream: { maxMessageBytes: 2 ** 20 } })
    const begin = Buffer.concat([Buffer.from([0, 0, 0x10, 0, 0]), Buffer.alloc(100_000, 0x12)])
    const agents = [await joinAgent(t, port), await joinAgent(t, port), await joinAgent(t, port)]
    for (const agent of agents) {
      await agent.answer
      agent.sendRaw(begin)
      await new Promise<void>((resolve) => agent.http.ping(() => resolve())) // the server has read it
    }
    t.strictSame(await agents[0]!.status, ['8', 'too much is held of messages that were begun and not finished'])
    t.equal(gone.length, 1, 'and nobody else')
    agents[1]!.http.destroy()
    const last = await joinAgent(t, port)
    await last.answer
    last.sendRaw(begin)
    await eventually(
      'the second has gone',
      () => gone.length,
      (count) => count === 2,
    )
    t.notOk(agents[2]!.stream.closed, 'what one has given back is there for others')
  },
)
