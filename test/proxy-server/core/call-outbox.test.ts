import { Buffer } from 'node:buffer'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { type CallOutbox, createCallOutbox, type Piece } from '../../../src/proxy-server/core/call-outbox.ts'
import { grpcDecoder } from '../../../src/tunnel/grpc-messages.ts'
import type { Packet } from '../../../src/tunnel/packet.ts'
import { processorMs } from '../../platform/processor-time.ts'
import { createRandom } from '../../platform/random.ts'
import { patternAt } from '../../tunnel/model/pattern.ts'

const closed = (connectId: number): Packet => ({ type: 'CLOSE_RSP', error: '', connectId })

/** What a piece says, message by message. */
function read({ bytes }: Piece): (Packet | [id: number, text: string])[] {
  const seen: (Packet | [number, string])[] = []
  const whole = grpcDecoder(2 ** 20, {
    packet: (packet) => void seen.push(packet),
    data: (id, payload) => void seen.push([Number(id), Buffer.from(payload).toString('latin1')]),
  })(bytes)
  if (!whole) throw new Error('a piece ends in the middle of a message')
  return seen
}

function outboxWith(...texts: [id: number, text: string][]): { outbox: CallOutbox; left: [number, number][] } {
  const outbox = createCallOutbox()
  const left: [number, number][] = []
  for (const [id, text] of texts) outbox.data(id, Buffer.from(text), (bytes) => left.push([id, bytes]))
  return { outbox, left }
}

t.test('gives nothing when nothing waits', async (t) => {
  const outbox = createCallOutbox()
  t.ok(outbox.isEmpty())
  t.equal(outbox.take(100), undefined)
})

t.test('puts what waits for one connection into one message, and keeps the order', async (t) => {
  const { outbox } = outboxWith([1, 'one'], [1, 'two'], [2, 'other'], [1, 'three'])
  outbox.packet(closed(1))
  const piece = outbox.take(1_000)!
  t.strictSame(read(piece), [[1, 'onetwo'], [2, 'other'], [1, 'three'], closed(1)])
  t.equal(piece.dataMessages, 3)
  t.ok(outbox.isEmpty())
})

t.test('gives at most so many bytes, and the rest later', async (t) => {
  const { outbox, left } = outboxWith([1, 'abcdef'], [2, 'gh'])
  const pieces = [outbox.take(4)!, outbox.take(20)!]
  t.strictSame(pieces.map(read), [
    [[1, 'abcd']],
    [
      [1, 'ef'],
      [2, 'gh'],
    ],
  ])
  t.strictSame(left, [])
  for (const piece of pieces) piece.left()
  t.strictSame(left, [
    [1, 4],
    [1, 2],
    [2, 2],
  ])
})

t.test('counts the heads of messages as well: with many small ones they are the most of a piece', async (t) => {
  const { outbox } = outboxWith(...Array.from({ length: 1_000 }, (_, at): [number, string] => [1 + (at % 2), 'x']))
  const { bytes, dataMessages } = outbox.take(1_000)!
  t.ok(bytes.length >= 1_000)
  t.ok(bytes.length < 1_000 + bytes.length / dataMessages, 'and one message more')
})

t.test('gives packets, and reads, in a time that grows with their number and not with its square', async (t) => {
  const packets = createCallOutbox()
  const reads = createCallOutbox()
  const bytes = new Uint8Array(2_048)
  for (let id = 0; id < 150_000; id++) {
    packets.packet(closed(id))
    reads.data(1, bytes, () => {})
  }
  for (const outbox of [packets, reads]) {
    const tookMs = processorMs(() => {
      while (!outbox.isEmpty()) outbox.take(256 * 1024)
    })
    t.ok(tookMs < 4_000, `${Math.round(tookMs)} ms`)
  }
})

t.test('gives a packet whole, however few bytes are asked for', async (t) => {
  const outbox = createCallOutbox()
  outbox.packet(closed(1))
  outbox.packet(closed(2))
  t.strictSame(read(outbox.take(1)!), [closed(1)])
  t.strictSame(read(outbox.take(1)!), [closed(2)])
})

t.test('counts packets until they have left', async (t) => {
  const outbox = createCallOutbox()
  outbox.packet(closed(1))
  const one = outbox.packetBytes()
  t.ok(one > 0)
  outbox.packet(closed(2))
  t.equal(outbox.packetBytes(), 2 * one)
  const piece = outbox.take(1)!
  t.equal(outbox.packetBytes(), 2 * one)
  piece.left()
  t.equal(outbox.packetBytes(), one)
})

t.test('tells of all that is given up', async (t) => {
  const { outbox, left } = outboxWith([1, 'abcdef'], [2, 'gh'])
  outbox.packet(closed(1))
  const piece = outbox.take(4)!
  outbox.drop()
  t.strictSame(left, [
    [1, 2],
    [2, 2],
  ])
  t.ok(outbox.isEmpty())
  t.equal(outbox.packetBytes(), 0)
  piece.left()
  t.strictSame(left.at(-1), [1, 4], 'what was taken has its own end')
})

t.test('does not hold on to large reads for small payloads', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const outbox = createCallOutbox()
  const reads = Array.from({ length: 100 }, () => {
    const read = new Uint8Array(64 * 1024)
    outbox.data(1, read.subarray(0, 3), () => {})
    return new WeakRef(read.buffer)
  })
  await new Promise((resolve) => setImmediate(resolve)) // until then a WeakRef holds on to what it was made of
  collect()
  const held = reads.filter((read) => read.deref() !== undefined).length
  t.ok(held <= 1, `${held} of 100 are held`)
  t.equal(read(outbox.take(10_000)!).length, 1)
})

t.test('gives every byte once and in order, whatever comes in and is taken', async (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = createRandom(seed)
    const outbox = createCallOutbox()
    const given = [0, 0, 0]
    const got = [0, 0, 0]
    const gone = [0, 0, 0]
    const decode = grpcDecoder(2 ** 20, {
      packet: () => {},
      data(id, payload) {
        const stream = Number(id)
        if (Buffer.compare(patternAt(stream, got[stream]!, payload.length), payload) !== 0) {
          throw new Error(`seed ${seed}: other bytes at ${got[stream]} of ${stream}`)
        }
        got[stream]! += payload.length
      },
    })
    const take = (): void => {
      const piece = outbox.take(random.pick([1, 100, 5_000, 100_000]))
      if (!piece) return
      decode(piece.bytes)
      piece.left()
    }
    for (let step = 0; step < 200; step++) {
      const stream = random.pick([1, 1, 1, 2])
      if (random.chance(30)) take()
      else if (random.chance(5)) outbox.packet(closed(stream))
      else {
        const length = 1 + random.below(random.pick([4, 100, 3_000, 20_000]))
        const bytes = Buffer.from(patternAt(stream, given[stream]!, length))
        given[stream]! += length
        outbox.data(stream, bytes, (count) => {
          gone[stream]! += count
        })
      }
    }
    while (!outbox.isEmpty()) take()
    if (String(got) !== String(given) || String(gone) !== String(given)) {
      throw new Error(`seed ${seed}: of ${given} came ${got}, and ${gone} were told`)
    }
    if (outbox.packetBytes() !== 0) throw new Error(`seed ${seed}: packets are left`)
  }
  t.pass('300 runs')
})
