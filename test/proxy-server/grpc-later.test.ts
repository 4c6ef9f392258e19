/** Calls over the limits of a cluster, and those of clients of none, wait for their refusal as CONNECT clients do. */
import { constants } from 'node:http2'
import t from 'tap'
import { event, eventually, within } from '../integration/deadline.ts'
import { openCall, type WireCall } from '../integration/wire-call.ts'
import { grpcPort } from './grpc-port.ts'

const clusters = (clients: number): string => `id: eu-1\nfrontends: {users: [alice]}\nlimits: {clients: ${clients}}\n`
const AT_LIMIT = 'cluster eu-1 is at its limit of 1 clients'

/** The calls that have been told so far. */
function countTold(...calls: readonly WireCall[]): () => number {
  let told = 0
  for (const { stream } of calls) stream.once('response', () => told++)
  return () => told
}

/** Whether the other end has done all that was asked before. */
const roundTrip = (call: WireCall): Promise<unknown> =>
  within(new Promise((resolve) => call.http.ping(resolve)), 'the answer to a PING')

t.test('a call over the limit is told after a second, and the calls of its connection go on', async (t) => {
  const port = await grpcPort(t, { clusters: clusters(1) })
  const first = openCall(await port.join())
  await eventually('it is served', port.listener.count, (calls) => calls === 1)
  const second = openCall(first.http)
  const told = countTold(second)
  const taken = new Promise((resolve) => second.stream.write(Buffer.alloc(2 ** 20), resolve))
  await within(taken, 'more than a window is taken, and dropped')
  port.clock.advance(999)
  await roundTrip(first)
  t.equal(told(), 0)
  port.clock.advance(1)
  t.match(await second.ended(), { code: 8, message: AT_LIMIT })
  t.equal(first.stream.closed, false)
  first.stream.end()
  await first.closed
  await roundTrip(second)
  const third = openCall(first.http)
  await eventually('there is room again', port.listener.count, (calls) => calls === 1)
  t.equal(third.stream.closed, false)
})

t.test('calls that ask again and again are told ten times a second, and more than a hundred are reset', async (t) => {
  const port = await grpcPort(t, { clusters: clusters(1) })
  const { http } = openCall(await port.join())
  await eventually('it is served', port.listener.count, (calls) => calls === 1)
  const before = port.clock.waiting()
  const calls = Array.from({ length: 100 }, () => openCall(http))
  const told = countTold(...calls)
  await eventually('all wait', port.clock.waiting, (waiting) => waiting === before + 100)
  const over = openCall(http)
  await over.closed
  t.equal(over.stream.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  port.clock.advance(1_950)
  await Promise.all(calls.slice(0, 10).map(({ closed }) => closed))
  t.equal(told(), 10, 'after 1 s, 1.1 s, … 1.9 s')
  calls[50]!.stream.close() // gone before it is told
  await eventually('it is known', port.clock.waiting, (waiting) => waiting === before + 89)
  port.clock.advance(10_000)
  await Promise.all(calls.map(({ closed }) => closed))
  t.equal(told(), 99)
  t.equal(port.clock.waiting(), before)
  for (let count = 0; count < 100; count++) openCall(http)
  await eventually('there is room for as many again', port.clock.waiting, (waiting) => waiting === before + 100)
})

t.test('a client that has no place waits a second, is told on each call, and is to go then', async (t) => {
  const port = await grpcPort(t, { clusters: clusters(1) })
  openCall(await port.join())
  await eventually('it is served', port.listener.count, (calls) => calls === 1)
  const http = await port.join()
  const gone = event(http, 'close')
  const [call, other] = [openCall(http), openCall(http)]
  const told = countTold(call, other)
  await roundTrip(call)
  port.clock.advance(999)
  await roundTrip(call)
  t.equal(told(), 0)
  port.clock.advance(1)
  const message = 'cluster eu-1 is at its limit of 1 HTTP/2 connections'
  t.match(await call.ended(), { code: 8, message })
  t.match(await other.ended(), { code: 8, message })
  await gone
})

t.test('a client whose connection ends as it is to be told is no trouble', async (t) => {
  const port = await grpcPort(t, { clusters: clusters(1) })
  const first = openCall(await port.join())
  await eventually('it is served', port.listener.count, (calls) => calls === 1)
  const [beside, alone] = [openCall(first.http), openCall(await port.join())]
  await Promise.all([roundTrip(beside), roundTrip(alone)])
  port.listener.destroyAll()
  port.clock.advance(10_000)
  await Promise.all([beside.closed, alone.closed])
})

t.test('so many calls of a client that has no place may wait, and others are reset', async (t) => {
  const port = await grpcPort(t, { clusters: clusters(1) })
  openCall(await port.join())
  await eventually('it is served', port.listener.count, (calls) => calls === 1)
  const http = await port.join()
  const calls = Array.from({ length: 101 }, () => openCall(http))
  await calls[100]!.closed
  t.equal(calls[100]!.stream.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  t.equal(calls[99]!.stream.closed, false)
  port.clock.advance(1_000)
  await Promise.all(calls.map(({ closed }) => closed))
})

t.test('a client of no cluster is told after a second, and counted once for each call', async (t) => {
  const port = await grpcPort(t, { clusters: 'id: eu-1\n' })
  const http = await port.join()
  const gone = event(http, 'close')
  const call = openCall(http)
  await eventually(
    'it is counted',
    () => port.counted('headRefused').length,
    (count) => count === 1,
  )
  port.clock.advance(999)
  await roundTrip(call)
  t.equal(call.stream.closed, false)
  port.clock.advance(1)
  t.match(await call.ended(), {
    code: 16,
    message: /^client certificate not accepted: the user alice is of no cluster$/,
  })
  t.strictSame(port.counted('headRefused'), [['forbidden']])
  await gone
})
