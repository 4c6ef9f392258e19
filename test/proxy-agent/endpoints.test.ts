import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { type Judge, systemNetwork } from '../../src/proxy-agent/dialer.ts'
import { createTargetDialer } from '../../src/proxy-agent/endpoints.ts'
import { createLookups } from '../../src/proxy-agent/lookups.ts'
import { createOpenSockets } from '../../src/proxy-agent/open-sockets.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { eventually, within } from '../integration/deadline.ts'
import { closedPort } from '../integration/target.ts'
import { oneSession } from '../tunnel/one-session.ts'
import { recordedMetrics } from './recorded-metrics.ts'

/** A target on loopback, and an agent's session whose dials go to the dialer under test. */
async function setup(t: Test, serve: (socket: Socket) => void = () => {}) {
  const accepted: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket)
    socket.on('error', () => undefined)
    socket.on('end', () => socket.end())
    serve(socket)
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.close()
    for (const socket of accepted) socket.destroy()
  })
  await once(server, 'listening')
  const metrics = recordedMetrics()
  const sockets = createOpenSockets()
  const network = systemNetwork(createLookups())
  let nowMs = 0
  const one = oneSession({ role: 'agent' })
  const now = (): number => nowMs++
  let judge: Judge = () => undefined
  const judgeDial = (): Judge => judge
  const dialer = createTargetDialer(5_000, { metrics, sockets, network, judgeDial, now, serverId: 'hub-0' })
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`

  function dial(random: number, to = address): void {
    one.session.receive(one.carrier, { type: 'DIAL_REQ', protocol: 'tcp', address: to, random })
    dialer.dial(one.session, { random, protocol: 'tcp', address: to })
  }
  const answer = (): Promise<Packet> =>
    within(
      one.carrier.next(({ type }) => type === 'DIAL_RSP'),
      'an answer',
    )
  const judgeBy = (next: Judge): void => {
    judge = next
  }
  return { ...one, server, accepted, metrics, sockets, dialer, dial, judgeBy, answer, address }
}

const noConnections = (server: Server): Promise<unknown> => {
  const count = (): Promise<number> => new Promise((resolve) => server.getConnections((_error, open) => resolve(open)))
  return eventually('no connection', count, (open) => open === 0)
}

t.test('connects, answers, and carries bytes both ways until both ends are done', async (t) => {
  const { session, carrier, dial, answer, accepted, metrics, sockets } = await setup(t, (socket) => socket.pipe(socket))
  dial(7)
  t.match(await answer(), { error: '', connectId: 1, random: 7 })
  let empty = false
  const emptied = sockets.whenEmpty().then(() => {
    empty = true
  })
  session.receive(carrier, { type: 'DATA', connectId: 1, error: '', data: Buffer.from('hello') })
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.match(await carrier.next(({ type }) => type === 'DATA'), { data: Buffer.from('hello') })
  t.notOk(empty)
  await carrier.next(({ type }) => type === 'END_OF_DATA')
  await emptied
  t.strictSame(metrics.counted, [['connectionOpened', 1], ['connectionEnded']])
  t.strictSame(metrics.bytes, { toSockets: 5, fromSockets: 5 })
  t.equal(accepted.length, 1)
  t.strictSame([session.connectionCount(), session.dialCount()], [0, 0])
})

t.test('answers before it passes on what the target says first', async (t) => {
  const { carrier, dial } = await setup(t, (socket) => socket.write('SSH-2.0-target'))
  dial(7)
  await within(
    carrier.next(({ type }) => type === 'DATA'),
    'the greeting',
  )
  t.strictSame(
    carrier.frames().map(({ type }) => type),
    ['DIAL_RSP', 'DATA'],
  )
})

t.test('says in the words of Go why it could not connect', async (t) => {
  const { dial, answer, metrics, session } = await setup(t)
  const address = await closedPort()
  dial(7, address)
  t.match(await answer(), { connectId: 0, random: 7, error: `dial tcp ${address}: connect: connection refused` })
  t.strictSame(metrics.counted, [['dialFailed', 'unknown']])
  t.equal(session.dialCount(), 0)
})

t.test('counts as a timeout only what is one', async (t) => {
  const { dial, answer, metrics } = await setup(t)
  dial(7, 'timeout')
  t.match(await answer(), { error: 'dial tcp: address timeout: missing port in address' })
  t.strictSame(metrics.counted, [
    ['dialRefused', 'malformed'],
    ['dialFailed', 'unknown'],
  ])
})

t.test('a dial is judged to its end by who was asked when it came', async (t) => {
  const { dial, judgeBy, answer, address } = await setup(t)
  judgeBy(({ address }) => (address === undefined ? undefined : { why: 'policy', text: 'not this address' }))
  dial(7, address.replace('127.0.0.1', 'localhost'))
  judgeBy(() => undefined)
  t.match(await answer(), { random: 7, connectId: 0, error: 'not this address' })
})

t.test('a cancelled dial is answered by nothing and leaves no connection', async (t) => {
  const { session, carrier, dialer, dial, metrics, accepted, server } = await setup(t)
  dial(7)
  session.receive(carrier, { type: 'DIAL_CLS', random: 7 })
  dialer.cancel(7)
  dialer.cancel(7)
  await noConnections(server)
  for (const socket of accepted) await eventually('the end', () => socket.readableEnded, Boolean)
  t.strictSame(carrier.frames(), [])
  t.strictSame(metrics.counted, [])
})

t.test('a dial that the session gave up in the meantime is closed, not kept', async (t) => {
  const { session, carrier, dial, accepted, metrics, sockets } = await setup(t)
  dial(7)
  session.lost(carrier, 'the connection closed') // its owner is told, but late
  await eventually('the end of the connection', () => accepted[0]?.readableEnded, Boolean)
  await sockets.whenEmpty()
  t.strictSame([metrics.counted, session.connectionCount()], [[], 0])
})

t.test('a number may name another dial once the first is cancelled, and that one can be cancelled too', async (t) => {
  const { session, carrier, dialer, dial, metrics, server } = await setup(t)
  dial(7)
  session.receive(carrier, { type: 'DIAL_CLS', random: 7 })
  dialer.cancel(7)
  dial(7)
  await new Promise(process.nextTick) // the first one is over by then
  dialer.cancel(7)
  await noConnections(server)
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(metrics.counted, [])
  t.equal(session.connectionCount(), 0)
})

t.test('dials many at once, each for itself', async (t) => {
  const { carrier, dial, metrics } = await setup(t)
  const closed = await closedPort()
  for (let random = 1; random <= 20; random++) dial(random, random % 2 === 0 ? closed : undefined)
  const answers = new Map<unknown, string>()
  await eventually(
    'all answers',
    () => {
      for (const frame of carrier.frames()) if (frame.type === 'DIAL_RSP') answers.set(frame.random, frame.error)
      return answers.size
    },
    (size) => size === 20,
  )
  for (const [random, error] of answers) t.equal(error === '', Number(random) % 2 === 1)
  t.equal(metrics.counted.filter(([verb]) => verb === 'connectionOpened').length, 10)
})

t.test('resets the target when the server closes the connection', async (t) => {
  const { session, carrier, dial, answer, accepted, metrics } = await setup(t)
  dial(7)
  await answer()
  await eventually('the connection', () => accepted.length, Boolean)
  const [target] = accepted
  const broken = once(target!, 'error')
  target!.resume()
  session.receive(carrier, { type: 'CLOSE_REQ', connectId: 1, reason: 'gone' })
  t.match(await within(broken, 'a reset'), [{ code: 'ECONNRESET' }])
  t.strictSame(metrics.counted.at(-1), ['connectionEnded'])
})
