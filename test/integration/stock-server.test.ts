/** Our agent with servers that know nothing of Culvert: konnectivity's protocol, by @grpc/grpc-js. */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { endOf } from './client.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, figure, figureBecomes } from './figures.ts'
import { type StockServer, type StockStream, stockServer } from './stock-server.ts'
import { closedPort, dialsUnderWay, echo, listenTarget, stuckTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { type Agent, launchAgent } from './tunnel.ts'

const MEBIBYTE = 1024 * 1024
const pki = await makePki(t)
const target = await listenTarget(t, echo)

type Joined = { readonly server: StockServer; readonly agent: Agent; readonly stream: StockStream }

async function joined(t: Test, flags: readonly string[] = []): Promise<Joined> {
  const server = await stockServer(t, pki)
  const agent = await launchAgent(t, { pki, agentPort: server.agentPort }, { flags: ['--agent-id=a-1', ...flags] })
  await agent.logged('connected')
  return { server, agent, stream: server.streams[0]! }
}

const RANDOM = '9223372036854775807' // the largest there is

/** An open connection to the address. */
async function dial(stream: StockStream, address = target.address, random = RANDOM): Promise<string> {
  stream.send({ type: 'DIAL_REQ', dialRequest: { protocol: 'tcp', address, random } })
  const answer = await stream.next('dialResponse')
  if (answer.error || answer.random !== random) throw new Error(JSON.stringify(answer))
  return answer.connectID
}

t.test(
  'an agent brings its id, its identifiers and what it could do, and then only what konnectivity knows',
  async (t) => {
    const { agent, stream } = await joined(t, ['--agent-identifiers=host=node-1'])
    t.match(stream.metadata.getMap(), {
      agentid: 'a-1',
      agentidentifiers: 'host=node-1',
      'culvert-extensions':
        'flow-control/1,half-close/1,heartbeat/1,close-reason/1,ping/1,going-away/1,lanes/1,new-certificate/1,policy/1,servers/1',
      'user-agent': /^culvert-proxy-agent\//,
    })
    const connectID = await dial(stream)
    t.equal(connectID, '1', 'counted from one')
    stream.send({ type: 'DATA', data: { connectID, data: Buffer.from('hello') } })
    await eventually(
      'the echo',
      () => stream.dataOf(connectID).toString(),
      (text) => text === 'hello',
    )
    stream.send({ type: 'CLOSE_REQ', closeRequest: { connectID } })
    t.match(await stream.next('closeResponse'), { connectID })
    await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
    t.strictSame(stream.strange(), [])
  },
)

t.test('a close comes after all the data before it has reached the target', async (t) => {
  const { stream } = await joined(t)
  const received = Promise.withResolvers<unknown>()
  const sink = await listenTarget(t, (socket) => {
    receiveAll(socket).then(received.resolve, received.reject)
  })
  const connectID = await dial(stream, sink.address)
  const bytes = 8 * MEBIBYTE
  const piece = Buffer.alloc(64 * 1024, 'whole')
  for (let sent = 0; sent < bytes; sent += piece.length) stream.send({ type: 'DATA', data: { connectID, data: piece } })
  stream.send({ type: 'CLOSE_REQ', closeRequest: { connectID } })
  t.match(await received.promise, { bytes })
  t.match(await stream.next('closeResponse'), { connectID })
  t.strictSame(stream.strange(), [])
})

t.test('all that a target sends comes before the close that says it has ended', async (t) => {
  const { agent, stream } = await joined(t)
  const bytes = 8 * MEBIBYTE
  const source = await listenTarget(t, (socket) => void sendAll(socket, bytes))
  const connectID = await dial(stream, source.address)
  t.strictSame(await stream.next('closeResponse'), { connectID })
  const data = stream.dataOf(connectID)
  t.equal(createHash('sha256').update(data).digest('hex'), expectedHash(bytes))
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
  t.strictSame(stream.strange(), [])
})

t.test('a dial that fails says why in the words of Go, and takes no number', async (t) => {
  const { stream } = await joined(t, ['--endpoint-dial-timeout=3s']) // only one of them waits for that, however busy the machine is
  const [refuses, stuck] = [await closedPort(), await stuckTarget(t)]
  for (const [address, error] of [
    [refuses, `dial tcp ${refuses}: connect: connection refused`],
    [stuck.address, `dial tcp ${stuck.address}: i/o timeout`],
    [`${'a'.repeat(64)}.invalid:80`, `dial tcp: lookup ${'a'.repeat(64)}.invalid: no such host`],
  ] as const) {
    stream.send({ type: 'DIAL_REQ', dialRequest: { protocol: 'tcp', address, random: '5' } })
    const answer = await stream.next('dialResponse')
    t.strictSame({ random: answer.random, error: answer.error }, { random: '5', error })
    t.ok(answer.connectID === undefined || answer.connectID === '0')
  }
  t.strictSame(stream.strange(), [])
})

t.test('a cancelled dial is given up and not answered', async (t) => {
  const { stream, agent } = await joined(t)
  const stuck = await stuckTarget(t)
  stream.send({ type: 'DIAL_REQ', dialRequest: { protocol: 'tcp', address: stuck.address, random: RANDOM } })
  await eventually(
    'the agent dials',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 1,
  )
  stream.send({ type: 'DIAL_CLS', closeDial: { random: RANDOM } })
  await eventually(
    'the agent stops dialling',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 0,
  )
  await dial(stream, target.address, '6') // anything that was to come for the other one would have come before
  t.equal(stream.received.filter(({ dialResponse }) => dialResponse).length, 1)
  t.equal(await figure(agent, `${AGENT}open_endpoint_connections`), 1)
  t.strictSame(stream.strange(), [])
})

t.test('a target that does not read does not hold up another one', async (t) => {
  const { stream } = await joined(t)
  const idle = await listenTarget(t, () => undefined)
  const slow = await dial(stream, idle.address)
  const quick = await dial(stream, target.address, '7')
  const piece = Buffer.alloc(1 * MEBIBYTE, 'x')
  for (let count = 0; count < 3; count++) stream.send({ type: 'DATA', data: { connectID: slow, data: piece } })
  stream.send({ type: 'DATA', data: { connectID: quick, data: Buffer.from('meanwhile') } })
  await eventually(
    'the echo',
    () => stream.dataOf(quick).toString(),
    (text) => text === 'meanwhile',
  )
  t.strictSame(stream.strange(), [])
})

t.test('when the server goes, connections to targets end, and the agent comes back', async (t) => {
  const { server, agent, stream } = await joined(t)
  const accepted = target.next()
  await dial(stream)
  const ended = endOf((await accepted) as Socket)
  stream.call.end()
  await ended
  await agent.logged('connected', 2)
  await dial(server.streams[1]!)
  t.strictSame(server.streams[1]!.strange(), [])
})

t.test('an agent that is to stop says DRAIN, serves on, and ends when its connections have', async (t) => {
  const { agent, stream } = await joined(t)
  const connectID = await dial(stream)
  agent.signal('SIGTERM')
  await stream.next('drain')
  stream.send({ type: 'DATA', data: { connectID, data: Buffer.from('still') } })
  await eventually(
    'the echo',
    () => stream.dataOf(connectID).toString(),
    (text) => text === 'still',
  )
  const second = await dial(stream, target.address, '8')
  for (const id of [connectID, second]) stream.send({ type: 'CLOSE_REQ', closeRequest: { connectID: id } })
  await stream.next('closeResponse')
  await stream.next('closeResponse')
  t.strictSame(await within(agent.ended, 'its end', 10_000), { code: 0, signal: null })
  t.strictSame(stream.strange(), [])
})

t.test('an agent with nothing open ends at once', async (t) => {
  const { agent, stream } = await joined(t)
  agent.signal('SIGTERM')
  t.strictSame(await within(agent.ended, 'its end', 10_000), { code: 0, signal: null })
  t.strictSame(stream.strange(), [])
})
