import { Buffer } from 'node:buffer'
import t from 'tap'
import { laneDecoder, laneFraming, MAX_DATA_BYTES, MAX_PACKET_BYTES } from '../../src/tunnel/lane-frames.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import type { Writer } from '../../src/tunnel/wire-write.ts'
import { createRandom } from '../platform/random.ts'
import { randomPacket } from './random-packet.ts'

const { packetBytes, writePacket, dataOverheadBytes, writeData } = laneFraming

/** A frame as it is drawn. */
function frame(type: number, connectId: number, payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload)
  const head = Buffer.alloc(8)
  head[0] = type
  head.writeUIntBE(bytes.length, 1, 3)
  head.writeUInt32BE(connectId, 4)
  return Buffer.concat([head, bytes])
}

/** What a decoder makes of the chunks, data as one text for each frame. */
function read(...chunks: Buffer[]): unknown[] {
  const seen: unknown[] = []
  const decode = laneDecoder({
    packet: (packet) => seen.push(packet),
    data(connectId, payload, first) {
      const text = Buffer.from(payload).toString('latin1')
      if (first) seen.push([connectId, text])
      else (seen.at(-1) as [unknown, string])[1] += text
    },
  })
  for (const chunk of chunks) decode(chunk)
  return seen
}

const move: Packet = { type: 'MOVE', connectId: 7, carrier: 2 }
const end: Packet = { type: 'END_OF_DATA', connectId: 7, close: 1, reason: '' }

function written(): Buffer {
  const writer: Writer = { bytes: Buffer.alloc(200), at: 0 }
  writeData(writer, 2 ** 32 - 1, Buffer.from('hello'))
  writePacket(writer, move)
  writeData(writer, 1, Buffer.alloc(0))
  writePacket(writer, end)
  return writer.bytes.subarray(0, writer.at)
}

t.test('writes the bytes that docs/protocol.md shows, as many as it says', async (t) => {
  const packets = [encodePacket(move), encodePacket(end)] as const
  t.equal(
    written().toString('hex'),
    [
      `04000005ffffffff${Buffer.from('hello').toString('hex')}`,
      `ff00000${packets[0].length.toString(16)}00000000${packets[0].toString('hex')}`,
      '0400000000000001',
      `ff00000${packets[1].length.toString(16)}00000000${packets[1].toString('hex')}`,
    ].join(''),
  )
  t.equal(packetBytes(move), 8 + packets[0].length)
  t.equal(dataOverheadBytes(1, 100_000), 8)
})

t.test('gives the same frames wherever the network splits them', async (t) => {
  const bytes = written()
  const expected = [[2 ** 32 - 1, 'hello'], move, [1, ''], end]
  for (let cut = 0; cut <= bytes.length; cut++) {
    t.strictSame(read(bytes.subarray(0, cut), bytes.subarray(cut)), expected, `cut at ${cut}`)
  }
  t.strictSame(read(...[...bytes].map((byte) => Buffer.of(byte))), expected, 'byte by byte')
})

t.test('refuses a payload or a packet one byte over its limit, from its head alone', async (t) => {
  const head = (type: number, length: number): Buffer => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32BE(type * 2 ** 24 + length, 0)
    return bytes
  }
  for (const [type, limit] of [
    [4, MAX_DATA_BYTES],
    [255, MAX_PACKET_BYTES],
  ] as const) {
    t.doesNotThrow(() => read(head(type, limit)))
    t.throws(() => read(head(type, limit + 1)), { code: 'message-too-large', message: `of ${limit + 1} bytes` })
  }
})

t.test('refuses what has no business on a lane', async (t) => {
  for (const type of [0, 3, 5, 65, 254]) t.throws(() => read(frame(type, 1, '')), { code: 'bad-frame' }, `type ${type}`)
  const refused: Packet[] = [
    { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random: 1 },
    { type: 'DIAL_RSP', error: '', connectId: 1, random: 1 },
    { type: 'CLOSE_REQ', connectId: 1, reason: '' },
    { type: 'CLOSE_RSP', connectId: 1, error: '' },
    { type: 'DATA', connectId: 1, error: '', data: Buffer.from('x') },
    { type: 'DRAIN' },
    { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 },
    { type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 1 },
    { type: 'GOING_AWAY', reason: '', deadlineMs: 1, reconnectAfterMs: 1 },
    { type: 'BLOCKED', connectId: 1 },
    { type: 'LANE_OFFER', lane: 1, token: Buffer.alloc(16) },
    { type: 'LANES_WANTED', count: 1 },
  ]
  for (const packet of refused) {
    t.throws(() => read(frame(255, 0, encodePacket(packet))), { code: 'bad-frame' }, packet.type)
  }
  t.throws(() => read(frame(255, 0, Buffer.of(0x08, 0x7f))), { code: 'bad-frame' }, 'a type that nobody knows')
  for (const packet of [move, end, { type: 'PING', nonce: 1 }, { type: 'PONG', nonce: 1 }] as const) {
    t.strictSame(read(frame(255, 0, encodePacket(packet))), [packet])
  }
})

t.test('keeps no chunk for the few bytes of it that end in the middle of a head', async (t) => {
  const seen: unknown[] = []
  const decode = laneDecoder({ packet: (packet) => seen.push(packet), data: () => {} })
  const chunk = Buffer.concat([frame(4, 1, 'x'), frame(255, 0, encodePacket(move)).subarray(0, 5)])
  decode(chunk)
  chunk.fill(0xff)
  decode(frame(255, 0, encodePacket(move)).subarray(5))
  t.strictSame(seen, [move])
})

t.test(
  'reads or refuses random and damaged lanes the same however they are cut, and never throws otherwise',
  async (t) => {
    const random = createRandom(5)
    let [good, bad] = [0, 0]
    for (let round = 0; round < 3_000; round++) {
      const frames = Array.from({ length: 1 + random.below(8) }, () =>
        random.chance(60)
          ? frame(4, random.below(2 ** 31), Buffer.alloc(random.below(300), random.below(256)))
          : frame(
              255,
              0,
              random.chance(90) ? encodePacket(random.pick([move, end])) : encodePacket(randomPacket(random)),
            ),
      )
      const bytes = Buffer.concat(frames)
      if (random.chance(50)) bytes[random.below(bytes.length)] = random.below(256)
      const outcome = (...chunks: Buffer[]): unknown => {
        try {
          return read(...chunks)
        } catch (error) {
          return (error as { code?: string }).code ?? error
        }
      }
      const at = random.below(bytes.length + 1)
      const whole = outcome(bytes)
      t.strictSame(outcome(bytes.subarray(0, at), bytes.subarray(at)), whole, `round ${round}`)
      if (typeof whole === 'string') bad++
      else if (Array.isArray(whole)) good++
      else t.fail('neither read nor refused', { whole })
    }
    t.ok(good > 500 && bad > 200, `${good} read, ${bad} refused`)
  },
)
