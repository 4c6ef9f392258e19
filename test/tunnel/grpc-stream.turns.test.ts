/** The gRPC carrier on a stream of which the test decides when bytes come and when a write is done. */
import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import type { Http2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import t from 'tap'
import { grpcDecoder } from '../../src/tunnel/grpc-messages.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { carry, MAX_MESSAGE_BYTES } from './carried.ts'
import { encodeByProtobufjs } from './culvert-proto.ts'

function onPaper(options: Parameters<typeof carry>[3] = {}) {
  const written: Buffer[] = []
  const done: (() => void)[] = []
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, callback) {
      written.push(Buffer.from(chunk))
      done.push(callback)
    },
  })
  const ours = carry(stream as unknown as Http2Stream, 'server', {}, options)
  /** What the next write holds, by type. */
  const next = (): string[] => {
    const types: string[] = []
    grpcDecoder(MAX_MESSAGE_BYTES, {
      packet: ({ type }) => types.push(type),
      data: (_, payload) => types.push(`DATA ${payload.length}`),
    })(written.shift() ?? Buffer.alloc(0))
    return types
  }
  return { ...ours, stream, next, writeDone: () => done.shift()?.() }
}

const turnEnds = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('has one write under way, and sends what came meanwhile as one, control frames in front', async (t) => {
  const { carrier, next, writeDone } = onPaper()
  carrier.data(1, Buffer.alloc(10))
  await turnEnds()
  t.strictSame(next(), ['DATA 10'])
  carrier.data(1, Buffer.alloc(20))
  carrier.ordered({ type: 'CLOSE_REQ', connectId: 1, reason: '' })
  carrier.control({ type: 'DIAL_CLS', random: 1 })
  t.strictSame(next(), [])
  writeDone()
  t.strictSame(next(), ['DIAL_CLS', 'DATA 20', 'CLOSE_REQ'])
  writeDone()
  await turnEnds()
  t.strictSame(next(), [])
})

t.test('holds what is behind the last data until that has left, and its owner lets it go', async (t) => {
  const asked: (() => void)[] = []
  const { carrier, count, next, writeDone } = onPaper({ mayClose: (then) => void asked.push(then) })
  carrier.data(1, Buffer.alloc(10))
  await turnEnds()
  carrier.data(1, Buffer.alloc(20))
  carrier.ordered({ type: 'CLOSE_REQ', connectId: 1, reason: '' }, 'last-data')
  carrier.ordered({ type: 'CLOSE_REQ', connectId: 2, reason: 'reset' })
  t.strictSame(next(), ['DATA 10'])
  writeDone()
  t.strictSame(next(), ['DATA 20', 'CLOSE_REQ'], 'a reset does not wait')
  t.equal(asked.length, 0)
  writeDone()
  t.equal(asked.length, 1)
  t.strictSame(next(), [])
  t.equal(count.sent.CLOSE_REQ, 1)
  asked[0]!()
  await turnEnds()
  t.strictSame(next(), ['CLOSE_REQ'])
})

t.test('ends behind all that waits', async (t) => {
  const { carrier, stream, next, writeDone } = onPaper()
  carrier.data(1, Buffer.alloc(10))
  await turnEnds()
  carrier.data(1, Buffer.alloc(20))
  carrier.end()
  t.notOk(stream.writableEnded)
  t.strictSame(next(), ['DATA 10'])
  writeDone()
  t.strictSame(next(), ['DATA 20'])
  t.notOk(stream.writableEnded)
  writeDone()
  t.ok(stream.writableEnded)
})

t.test('calls the session when a write has left, or at the end of the turn when none is under way', async (t) => {
  const { carrier, session, writeDone } = onPaper()
  const calls: number[] = []
  const { writable } = session
  Object.assign(session, { writable: (it: never) => void calls.push(writable(it) as never) })
  carrier.wake()
  carrier.wake()
  t.equal(calls.length, 0)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(calls.length, 1)
  carrier.data(1, Buffer.alloc(10))
  carrier.wake()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(calls.length, 1)
  writeDone()
  t.equal(calls.length, 2)
})

t.test(
  'reads half a mebibyte in one turn, the rest in the next ones, and nothing while the session says so',
  async (t) => {
    const { carrier, count, stream } = onPaper()
    const message = encodeByProtobufjs({ type: 'DATA', connectId: 0, error: '', data: Buffer.alloc(64 * 1024 - 5 - 9) })
    const chunk = Buffer.concat([Buffer.from([0, 0, 0, message.length >> 8, message.length & 0xff]), message])
    for (let chunks = 0; chunks < 20; chunks++) stream.push(chunk)
    await new Promise((resolve) => process.nextTick(resolve))
    t.ok(count.received.DATA >= 8 && count.received.DATA <= 9, `${count.received.DATA} in the first turn`)
    carrier.read(false)
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
    t.ok(count.received.DATA <= 9, 'told not to read')
    carrier.read(true)
    for (let turn = 0; turn < 9 && count.received.DATA < 20; turn++)
      await new Promise((resolve) => setImmediate(resolve))
    t.equal(count.received.DATA, 20)
  },
)

t.test('gives up a peer that does not read what it makes us answer, and then keeps none of it', async (t) => {
  const { carrier, failures, session, stream } = onPaper()
  const answer: Packet = { type: 'CLOSE_RSP', connectId: 1, error: 'x'.repeat(1_000) }
  for (let count = 0; count < 15_000; count++) carrier.ordered(answer)
  t.strictSame(failures, [])
  for (let count = 0; count < 2_000; count++) carrier.control(answer)
  t.equal(failures[0], 'peer-does-not-read')
  stream.destroy()
  await once(stream, 'close')
  t.equal(session.excess.usedBytes, 0)
})

t.test('counts small frames by what they take, of which a busy carrier has a few, until they have left', async (t) => {
  const { carrier, failures, session, writeDone } = onPaper()
  const pong: Packet = { type: 'PONG', nonce: 1 }
  carrier.control(pong)
  await turnEnds()
  for (let count = 0; count < 100; count++) carrier.control(pong)
  t.equal(session.excess.usedBytes, 0, 'a few')
  for (let count = 0; count < 10_000; count++) carrier.control(pong)
  t.ok(session.excess.usedBytes > 10_000 * 100, `${session.excess.usedBytes} bytes`)
  writeDone()
  t.equal(session.excess.usedBytes, 0)
  for (let count = 0; count < 200_000; count++) carrier.control(pong)
  t.equal(failures[0], 'peer-does-not-read', 'though its bytes are only two megabytes')
})

t.test('what a turn brings leaves at its end, in one write', async (t) => {
  const { carrier, next, writeDone } = onPaper()
  carrier.data(1, Buffer.alloc(10))
  carrier.ordered({ type: 'CLOSE_REQ', connectId: 1, reason: '' })
  carrier.control({ type: 'DIAL_CLS', random: 1 })
  t.strictSame(next(), [], 'a write for each would wake the peer for each')
  await turnEnds()
  t.strictSame(next(), ['DIAL_CLS', 'DATA 10', 'CLOSE_REQ'])
  writeDone()
  await turnEnds()
  t.strictSame(next(), [], 'it left once')
  for (const send of [
    () => carrier.data(1, Buffer.alloc(16 * 1024)),
    () => carrier.ordered({ type: 'CLOSE_REQ', connectId: 1, reason: '' }),
    () => carrier.control({ type: 'DIAL_CLS', random: 1 }),
  ]) {
    send()
    t.strictSame(next(), [])
    await turnEnds()
    t.not(next().length, 0, 'each of them alone leaves as well')
    writeDone()
  }
})

t.test('whoever waits until all has left waits also for what leaves at the end of the turn', async (t) => {
  const { carrier, next, writeDone } = onPaper()
  let sent = false
  carrier.data(1, Buffer.alloc(16 * 1024))
  carrier.whenSent(() => {
    sent = true
  })
  t.notOk(sent)
  await turnEnds()
  t.strictSame(next(), ['DATA 16384'])
  t.notOk(sent)
  writeDone()
  t.ok(sent)
})

t.test('whoever waits until all has left is called also when nothing waits', async (t) => {
  const { carrier } = onPaper()
  let sent = false
  carrier.whenSent(() => {
    sent = true
  })
  await turnEnds()
  t.ok(sent)
})
