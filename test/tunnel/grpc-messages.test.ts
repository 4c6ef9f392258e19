import { Buffer } from 'node:buffer'
import t from 'tap'
import type { FrameSink } from '../../src/tunnel/framing.ts'
import {
  dataOverheadBytes,
  grpcDecoder,
  messageBytes,
  PREFIX_BYTES,
  writeData,
  writeMessage,
} from '../../src/tunnel/grpc-messages.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'

const MOST_BYTES = 1_000

type Seen = { readonly packets: Packet[]; readonly data: [connectId: unknown, text: string][]; pieces: number }

/** Notes packets, and data as one text per message. */
function noting(): { sink: FrameSink; seen: Seen } {
  const seen: Seen = { packets: [], data: [], pieces: 0 }
  const sink: FrameSink = {
    packet: (packet) => void seen.packets.push(packet),
    data(connectId, payload, first) {
      const text = Buffer.from(payload).toString('latin1')
      seen.pieces++
      const last = seen.data.at(-1)
      if (first || !last) seen.data.push([connectId, text])
      else if (last[0] !== connectId) throw new Error(`a piece for ${connectId} in a message for ${last[0]}`)
      else last[1] += text
    },
  }
  return { sink, seen }
}

const framed = (message: Buffer): Buffer => {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

function written(packet: Packet): Buffer {
  const bytes = Buffer.alloc(messageBytes(packet))
  writeMessage({ bytes, at: 0 }, packet)
  return bytes
}

function data(connectId: number | bigint, payload: string): Buffer {
  const bytes = Buffer.alloc(dataOverheadBytes(connectId, payload.length) + payload.length)
  const writer = { bytes, at: 0 }
  writeData(writer, connectId, Buffer.from(payload, 'latin1'))
  if (writer.at !== bytes.length) throw new Error(`${writer.at} bytes written, ${bytes.length} announced`)
  return bytes
}

const hex = (text: string): Buffer => framed(Buffer.from(text, 'hex'))

/** DATA in shapes that no known peer writes, and that any may. */
const unusual: readonly [string, Buffer, [number | bigint, string]][] = [
  ['payload before type', hex('220908021a0568656c6c6f0804'), [2, 'hello']],
  ['data before connectID', hex('080422091a0568656c6c6f0802'), [2, 'hello']],
  ['with an error field', hex('0804220d080212026e6f1a0568656c6c6f'), [2, 'hello']],
  ['an unknown field behind', hex('0804220908021a0568656c6c6f500a'), [2, 'hello']],
  ['an unknown field inside', hex('0804220b08021a0568656c6c6f500a'), [2, 'hello']],
  ['type twice', hex('08010804220908021a0568656c6c6f'), [2, 'hello']],
  ['long varints', hex('0804228d8000088280001a85800068656c6c6f'), [2, 'hello']],
  ['no data', hex('080422020802'), [2, '']],
  ['empty data', hex('0804220408021a00'), [2, '']],
  ['no connectID', hex('080422071a0568656c6c6f'), [0, 'hello']],
  ['no payload', hex('0804'), [0, '']],
]

t.test('writes the prefix and the packet', async (t) => {
  t.equal(written({ type: 'DRAIN' }).toString('hex'), '0000000004' + '08064200')
  t.equal(data(2, 'hello').toString('hex'), '000000000d' + '0804220908021a0568656c6c6f')
  const packet: Packet = { type: 'DATA', connectId: 2 ** 40, error: '', data: Buffer.from('x'.repeat(300)) }
  t.strictSame(data(2 ** 40, 'x'.repeat(300)), framed(encodePacket(packet)), 'as the general encoder')
})

t.test('gives the same packets and bytes wherever the network splits them', async (t) => {
  const stream = Buffer.concat([
    written({ type: 'DIAL_RSP', error: '', connectId: 1, random: 2n ** 63n - 1n }),
    data(1, 'first'),
    data(2n ** 60n, 'to a number beyond 2^53'),
    ...unusual.map(([, bytes]) => bytes),
    written({ type: 'DRAIN' }),
    data(300, 'x'.repeat(200)),
    framed(Buffer.alloc(0)),
    written({ type: 'WINDOW_UPDATE', connectId: 1, credit: 70_000 }),
  ])
  const whole = noting()
  grpcDecoder(MOST_BYTES, whole.sink)(stream)
  t.equal(whole.seen.data.length, 3 + unusual.length)
  t.equal(whole.seen.packets.length, 4)
  const problems: unknown[] = []
  const check = (name: string, cuts: number[]): void => {
    const { sink, seen } = noting()
    const decode = grpcDecoder(MOST_BYTES, sink)
    let at = 0
    for (const cut of [...cuts, stream.length]) {
      decode(stream.subarray(at, cut))
      at = cut
    }
    const same =
      JSON.stringify([seen.packets, seen.data], bigints) ===
      JSON.stringify([whole.seen.packets, whole.seen.data], bigints)
    if (!same) problems.push(name)
  }
  for (let cut = 0; cut <= stream.length; cut++) {
    check(`cut at ${cut}`, [cut])
    check(`cut at ${cut} and one byte on`, [cut, Math.min(cut + 1, stream.length)])
    check(`cut at ${cut} and seven bytes on`, [cut, Math.min(cut + 7, stream.length)])
  }
  check(
    'byte by byte',
    Array.from({ length: stream.length }, (_, index) => index),
  )
  t.strictSame(problems, [])
})

t.test('tells whether what came ends with a message', async (t) => {
  for (const message of [written({ type: 'DRAIN' }), data(300, 'x'.repeat(200)), framed(Buffer.alloc(0))]) {
    for (let cut = 1; cut < message.length; cut++) {
      const decode = grpcDecoder(MOST_BYTES, noting().sink)
      t.strictSame([decode(message.subarray(0, cut)), decode(message.subarray(cut))], [false, true], `cut at ${cut}`)
    }
    t.ok(grpcDecoder(MOST_BYTES, noting().sink)(Buffer.concat([message, message])))
  }
})

const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}` : value)

t.test('reads DATA in any valid shape', async (t) => {
  for (const [name, bytes, expected] of unusual) {
    const { sink, seen } = noting()
    grpcDecoder(MOST_BYTES, sink)(bytes)
    t.strictSame(seen.data, [expected], name)
    t.strictSame(seen.packets, [], name)
  }
})

t.test('hands a long payload on as it arrives, without collecting it', async (t) => {
  const { sink, seen } = noting()
  const decode = grpcDecoder(4 * 2 ** 20, sink)
  const bytes = data(7, 'y'.repeat(4_000_000))
  const chunk = 16_384
  for (let at = 0; at < bytes.length; at += chunk) {
    decode(bytes.subarray(at, at + chunk))
    const given = seen.data[0]?.[1].length ?? 0
    if (given !== Math.min(at + chunk, bytes.length) - (bytes.length - 4_000_000)) t.fail(`${given} bytes at ${at}`)
  }
  t.equal(seen.pieces, Math.ceil(bytes.length / chunk))
  t.equal(seen.data.length, 1)
})

t.test('gives payloads as views of the chunk', async (t) => {
  const chunk = data(1, 'hello')
  let view: Uint8Array | undefined
  grpcDecoder(MOST_BYTES, {
    packet: () => {},
    data(_, payload) {
      view = payload
    },
  })(chunk)
  t.equal(view?.buffer, chunk.buffer)
})

t.test('takes a message at the limit, and refuses one byte more from its prefix alone', async (t) => {
  const overhead = dataOverheadBytes(1, 900) - PREFIX_BYTES
  const { sink, seen } = noting()
  grpcDecoder(900 + overhead, sink)(data(1, 'x'.repeat(900)))
  t.equal(seen.data[0]?.[1].length, 900)
  const decode = grpcDecoder(900 + overhead - 1, sink)
  t.throws(() => decode(data(1, 'x'.repeat(900)).subarray(0, PREFIX_BYTES)), {
    code: 'message-too-large',
    message: /a message of 910 bytes is over the limit of 909/,
  })
  t.throws(() => grpcDecoder(4 * 2 ** 20, sink)(Buffer.from('00ffffffff', 'hex')), { code: 'message-too-large' })
})

t.test('refuses a compressed message', async (t) => {
  const { sink } = noting()
  for (const flag of [1, 2, 255]) {
    const bytes = data(1, 'hello')
    bytes[0] = flag
    t.throws(() => grpcDecoder(MOST_BYTES, sink)(bytes), { code: 'bad-frame', message: /compressed/ })
  }
})

t.test('refuses a DATA packet whose lengths contradict its message', async (t) => {
  const wrong = {
    '0804220a08021a0568656c6c6f': 'a payload longer than the message',
    '0804220908021a0668656c6c6f': 'data longer than the payload',
    '080422': 'cut behind the payload tag',
    '08042209': 'cut behind the payload length',
    '0804220908': 'cut in the connectID',
    '0804220908021a': 'cut behind the data tag',
    '08042280': 'cut in a varint',
  }
  for (const [bytes, why] of Object.entries(wrong)) {
    const { sink } = noting()
    t.throws(() => grpcDecoder(MOST_BYTES, sink)(hex(bytes)), { code: 'bad-frame' }, why)
  }
})

t.test('does not read on behind a DATA packet that is shorter inside than out', async (t) => {
  const { sink, seen } = noting()
  grpcDecoder(MOST_BYTES, sink)(Buffer.concat([hex('0804220808021a0468656c6c4a0100'), data(3, 'next')]))
  t.strictSame(seen.data, [
    [2, 'hell'],
    [3, 'next'],
  ])
})

t.test('keeps what a packet-less chunk leaves, one byte at a time, within the message', async (t) => {
  const { sink, seen } = noting()
  const decode = grpcDecoder(MOST_BYTES, sink)
  for (const byte of written({ type: 'CLOSE_RSP', error: 'x'.repeat(500), connectId: 1 })) decode(Buffer.from([byte]))
  t.match(seen.packets, [{ type: 'CLOSE_RSP', connectId: 1 }])
})

t.test('tells how much it keeps of a message that is not complete, and of data no more than a head', async (t) => {
  const { sink } = noting()
  const told: number[] = []
  const decode = grpcDecoder(MOST_BYTES, { ...sink, held: (bytes) => void told.push(bytes) })
  const dial = written({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x'.repeat(500), random: 7 })
  decode(dial.subarray(0, 100))
  decode(dial.subarray(100, 300))
  t.strictSame(told, [100, 300])
  decode(Buffer.concat([dial.subarray(300), dial.subarray(0, 50)]))
  t.strictSame(told.splice(0).slice(-2), [0, 50])
  decode(dial.subarray(50))
  t.equal(told.splice(0).at(-1), 0)
  const bulk = data(7, 'x'.repeat(900))
  decode(bulk.subarray(0, 8))
  decode(bulk.subarray(8, 500))
  decode(bulk.subarray(500))
  t.equal(told.shift(), 8)
  t.equal(told.at(-1), 0)
})
