import { Buffer } from 'node:buffer'
import t from 'tap'
import { dataOverheadBytes, grpcDecoder, grpcFraming, messageBytes } from '../../src/tunnel/grpc-messages.ts'
import { createOutbox, FILL_BYTES, type Outbox } from '../../src/tunnel/outbox.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { createRandom } from '../platform/random.ts'

const AHEAD_BYTES = 4 * 1024
const SMALL_BYTES = 16 * 1024

/** What a piece says, frame by frame: `control 1`, `end 1`, `data 1 <length> <first byte>`. */
function frames(piece: Buffer | undefined): string[] {
  const found: string[] = []
  let bytes: Buffer[] = []
  let connection: unknown
  const finish = (): void => {
    const whole = Buffer.concat(bytes)
    if (whole.length > 0)
      found.push(
        `data ${connection} ${whole.length} ${whole[0]}${whole.every((it) => it === whole[0]) ? '' : ' mixed'}`,
      )
    bytes = []
  }
  const decode = grpcDecoder(4 * 2 ** 20, {
    packet(packet) {
      finish()
      found.push(
        packet.type === 'PING' ? `control ${packet.nonce}` : `end ${(packet as { connectId: number }).connectId}`,
      )
    },
    data(connectId, payload, first) {
      if (first) finish()
      connection = connectId
      bytes.push(Buffer.from(payload))
    },
  })
  if (piece) decode(piece)
  finish()
  return found
}

/** What a frame that waits takes besides its bytes. */
const PACKET_BYTES = 128

const ping = (nonce: number): Packet => ({ type: 'PING', nonce })
const endOf = (connectId: number): Packet => ({ type: 'END_OF_DATA', connectId, close: 0, reason: '' })
const add = (outbox: Outbox, id: number, length: number, byte = id): void => outbox.data(id, Buffer.alloc(length, byte))

t.test('has nothing to take when nothing was put in', async (t) => {
  const outbox = createOutbox(grpcFraming)
  t.equal(outbox.take(), undefined)
  t.equal(outbox.room(), FILL_BYTES)
  t.equal(outbox.excessBytes(), 0)
})

t.test('puts control frames in front of what waits, and keeps both in order', async (t) => {
  const outbox = createOutbox(grpcFraming)
  add(outbox, 1, 10)
  outbox.control(ping(1))
  outbox.ordered(endOf(1))
  outbox.control(ping(2))
  add(outbox, 2, 20)
  t.equal(outbox.excessBytes(), (messageBytes(ping(1)) + PACKET_BYTES) * 2, 'of control frames')
  t.strictSame(frames(outbox.take()), ['control 1', 'control 2', 'data 1 10 1', 'end 1', 'data 2 20 2'])
  t.equal(outbox.take(), undefined)
  t.equal(outbox.excessBytes(), 0)
})

t.test('takes control frames alone', async (t) => {
  const outbox = createOutbox(grpcFraming)
  outbox.control(ping(1))
  t.strictSame(frames(outbox.take()), ['control 1'])
  outbox.control(ping(2))
  t.strictSame(frames(outbox.take()), ['control 2'])
})

t.test('takes control frames and data whole on both sides of the space ahead', async (t) => {
  for (const count of [1, 400, 584, 585, 586, 587, 2_000, 20_000]) {
    for (const dataBytes of [0, 1, 20_000]) {
      const outbox = createOutbox(grpcFraming)
      if (dataBytes > 0) add(outbox, 1, dataBytes)
      for (let nonce = 1; nonce <= count; nonce++) outbox.control(ping(nonce % 100))
      const expected = Array.from({ length: count }, (_, index) => `control ${(index + 1) % 100}`)
      const found = frames(outbox.take())
      const name = `${count} control frames before ${dataBytes} bytes`
      t.strictSame(found.slice(0, count), expected, name)
      t.strictSame(found.slice(count), dataBytes > 0 ? [`data 1 ${dataBytes} 1`] : [], name)
      add(outbox, 2, 100)
      t.strictSame(frames(outbox.take()), ['data 2 100 2'], `${name}, then more`)
    }
  }
})

t.test('control frames may fill the space ahead to the byte', async (t) => {
  for (const [left, extra] of [
    [0, 0],
    [0, 1],
    [1, 0],
  ] as const) {
    const outbox = createOutbox(grpcFraming)
    const each = messageBytes(ping(1))
    const count = Math.floor((AHEAD_BYTES - 200) / each)
    for (let nonce = 0; nonce < count; nonce++) outbox.control(ping(1))
    const missing = AHEAD_BYTES - left + extra - count * each
    const filler = (text: string): Packet => ({ type: 'DIAL_RSP', error: text, connectId: 0, random: 1 })
    const spare = messageBytes(filler('x'.repeat(missing))) - missing
    outbox.control(filler('x'.repeat(missing - spare)))
    t.equal(outbox.excessBytes(), AHEAD_BYTES - left + extra + (count + 1) * PACKET_BYTES)
    add(outbox, 1, 5)
    const found = frames(outbox.take())
    t.equal(found.length, count + 2)
    t.equal(found.at(-1), 'data 1 5 1')
  }
})

t.test('keeps what waits when it outgrows its buffer, around every size that it has', async (t) => {
  const overhead = dataOverheadBytes(1, SMALL_BYTES)
  for (const size of [SMALL_BYTES - AHEAD_BYTES - overhead, SMALL_BYTES - overhead, FILL_BYTES - overhead]) {
    for (let more = -3; more <= 3; more++) {
      const outbox = createOutbox(grpcFraming)
      add(outbox, 1, size + more)
      add(outbox, 2, 1)
      outbox.ordered(endOf(2))
      t.strictSame(frames(outbox.take()), [`data 1 ${size + more} 1`, 'data 2 1 2', 'end 2'], `${size + more} bytes`)
    }
  }
})

t.test('room counts what waits, and is whole again once that was taken', async (t) => {
  const outbox = createOutbox(grpcFraming)
  add(outbox, 1, 1_000)
  const used = 1_000 + dataOverheadBytes(1, 1_000)
  t.equal(outbox.room(), FILL_BYTES - used)
  outbox.control(ping(1))
  t.equal(outbox.room(), FILL_BYTES - used, 'control frames take none')
  add(outbox, 1, outbox.room())
  t.ok(outbox.room() <= 0)
  const piece = outbox.take()
  t.equal(outbox.room(), FILL_BYTES)
  if (piece) outbox.giveBack(piece)
  t.equal(outbox.room(), FILL_BYTES)
})

t.test('bears any number of ordered frames behind a full buffer, without a copy for each', async (t) => {
  const outbox = createOutbox(grpcFraming)
  add(outbox, 1, outbox.room())
  const count = 10_000
  const before = Buffer.allocUnsafeSlow
  let allocated = 0
  Buffer.allocUnsafeSlow = (size) => {
    allocated += size
    return before(size)
  }
  try {
    for (let id = 1; id <= count; id++) outbox.ordered(endOf(id))
  } finally {
    Buffer.allocUnsafeSlow = before
  }
  t.ok(allocated < 8 * FILL_BYTES, `${allocated} bytes allocated for ${count} frames of 14`)
  t.equal(frames(outbox.take()).length, count + 1)
})

t.test('never writes into a piece that is still under way', async (t) => {
  const random = createRandom(3)
  for (let round = 0; round < 200; round++) {
    const outbox = createOutbox(grpcFraming)
    let piece: Buffer | undefined
    let copy: Buffer | undefined
    const expected: string[] = []
    const found: string[] = []
    let nonce = 0
    for (let step = 0; step < 60; step++) {
      const what = random.below(10)
      if (what < 4) {
        const length = Math.min(outbox.room(), random.pick([1, 300, 12_000, 16_384, 130_000]))
        if (length > 0) add(outbox, 1 + (step % 100), length)
        if (length > 0) expected.push(`data ${1 + (step % 100)} ${length} ${1 + (step % 100)}`)
      } else if (what < 5) {
        outbox.ordered(endOf(step))
        expected.push(`end ${step}`)
      } else if (what < 6)
        for (let count = random.pick([1, 1, 800]); count > 0; count--) outbox.control(ping(nonce++ % 100))
      else if (what < 7) outbox.shrink()
      else if (piece === undefined) {
        piece = outbox.take()
        copy = piece && Buffer.from(piece)
      } else {
        if (copy && !piece.equals(copy)) t.fail(`round ${round}, step ${step}: the piece changed`)
        found.push(...frames(piece).filter((frame) => !frame.startsWith('control')))
        outbox.giveBack(piece)
        piece.fill(0xee) // it is no longer ours
        piece = undefined
      }
    }
    if (piece) found.push(...frames(piece).filter((frame) => !frame.startsWith('control')))
    found.push(...frames(outbox.take()).filter((frame) => !frame.startsWith('control')))
    if (JSON.stringify(found) !== JSON.stringify(expected)) t.strictSame(found, expected, `round ${round}`)
  }
})

t.test('counts ordered frames as excess when they are more than data could be', async (t) => {
  const outbox = createOutbox(grpcFraming)
  add(outbox, 1, FILL_BYTES)
  t.equal(outbox.excessBytes(), 0)
  for (let id = 0; id < 100_000; id++) outbox.ordered(endOf(id))
  const waits = outbox.excessBytes()
  t.ok(waits > 100_000 * 5 && waits < 100_000 * 20, `${waits} bytes`)
  outbox.take()
  t.equal(outbox.excessBytes(), 0)
})
