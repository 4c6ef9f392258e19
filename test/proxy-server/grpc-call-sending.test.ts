import { once } from 'node:events'
import { connect, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/platform/clock.ts'
import { createTurns } from '../../src/proxy-server/core/turns.ts'
import { createCallSending } from '../../src/proxy-server/grpc-call-sending.ts'
import { grpcDecoder } from '../../src/tunnel/grpc-messages.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { recordedMetrics } from './recorded-metrics.ts'

const MEBIBYTE = 1024 * 1024
const pong: Packet = { type: 'CLOSE_RSP', connectId: 1, error: '' }

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)

/** One of data: how it begins, and how long it is. */
type Message = { readonly data: string; bytes: number }

/** A call of HTTP/2 on loopback with its sending part, and what its client has read. */
async function sendingCall(t: Test) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const http = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => http.destroy())
  const taken = event<ServerHttp2Stream>(server, 'stream')
  const read = http.request({ ':method': 'POST', ':path': '/' }, { endStream: false })
  const stream = await taken
  stream.on('error', () => undefined)
  read.on('error', () => undefined)
  stream.respond({ ':status': 200 })
  const messages: (Packet | Message)[] = []
  const decode = grpcDecoder(8 * MEBIBYTE, {
    packet: (packet) => void messages.push(packet),
    data(_id, payload, first) {
      const last = messages.at(-1)
      if (!first && last && 'bytes' in last) last.bytes += payload.length
      else messages.push({ data: Buffer.from(payload.subarray(0, 10)).toString(), bytes: payload.length })
    },
    held: () => undefined,
  })
  read.on('data', decode)
  const metrics = recordedMetrics()
  const turns = createTurns({ open: () => true, later: setImmediate, after: systemClock.after })
  t.teardown(turns.end)
  let changes = 0
  const sending = createCallSending(stream, { clock: systemClock, metrics, turns, changed: () => void changes++ })
  return { sending, stream, read, messages, metrics, changes: () => changes }
}

t.test('packets and data leave in their order, data of one turn in one message, and all before the end', async (t) => {
  const { sending, read, messages, metrics } = await sendingCall(t)
  const left: number[] = []
  const ended = event(read, 'end')
  for (const text of ['one', 'two']) sending.data(1, Buffer.from(text), (bytes) => void left.push(bytes))
  sending.packet(pong)
  sending.end()
  await within(ended, 'the call ends')
  t.match(messages, [{ data: 'onetwo', bytes: 6 }, pong])
  t.equal(sum(left), 6)
  t.equal(metrics.bytes.toSockets, 6)
  t.equal(metrics.frontendPackets.sent.DATA, 1)
  t.equal(metrics.frontendPackets.sent.CLOSE_RSP, 1)
  t.match(metrics.counted, [['frontendWrote', Number]])
})

t.test('a call that is to end while data waits for its turn ends behind it', async (t) => {
  const { sending, read, messages } = await sendingCall(t)
  const ended = event(read, 'end')
  sending.data(1, Buffer.from('last'), () => undefined)
  sending.end()
  await within(ended, 'the call ends')
  t.match(messages, [{ data: 'last', bytes: 4 }])
})

t.test('a call with nothing to say ends at once', async (t) => {
  const { sending, read } = await sendingCall(t)
  read.resume()
  const ended = event(read, 'end')
  sending.end()
  await within(ended, 'the call ends')
})

t.test('bytes of packets are counted until they have left, and each change is told', async (t) => {
  const { sending, changes } = await sendingCall(t)
  t.equal(sending.packetBytes(), 0)
  sending.packet(pong)
  t.ok(sending.packetBytes() > 0)
  t.equal(changes(), 1)
  await eventually('they have left', sending.packetBytes, (bytes) => bytes === 0)
  t.ok(changes() > 1)
})

t.test('what a closed stream leaves behind is told as left, and counts no longer', async (t) => {
  const { sending, stream, read } = await sendingCall(t)
  read.pause()
  const closed = event(stream, 'close')
  const left: number[] = []
  const bytes = 4 * MEBIBYTE // more than HTTP/2 takes from a client that does not read
  sending.data(1, Buffer.alloc(bytes), (some) => void left.push(some))
  await eventually(
    'some is under way',
    () => stream.writableLength,
    (waits) => waits > 0,
  )
  sending.packet(pong)
  stream.destroy()
  await within(closed, 'the stream closes')
  sending.close()
  await eventually(
    'all is told',
    () => sum(left),
    (all) => all === bytes,
  )
  await eventually('nothing counts', sending.packetBytes, (all) => all === 0)
})
