/**
 * Streams of random messages, cut at random, whole and damaged: the same packets and the same bytes for each connection as
 * when read at once, or the same refusal. A failing round prints its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay
 * or prolong.
 */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { TunnelError } from '../../src/platform/errors.ts'
import { grpcDecoder } from '../../src/tunnel/grpc-messages.ts'
import { decodePacket, encodePacket } from '../../src/tunnel/packet-codec.ts'
import { createRandom, type Random } from '../platform/random.ts'
import { randomPacket } from '../tunnel/random-packet.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 1_500)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)
const LIMIT = 64 * 1024

const framed = (message: Buffer): Buffer => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** What the decoder makes of the chunks: one line for each packet, one for each DATA message with its bytes. */
function read(chunks: readonly Buffer[]): { lines: string[]; refused: string | undefined } {
  const lines: string[] = []
  let refused: string | undefined
  const decode = grpcDecoder(LIMIT, {
    packet: (packet) => lines.push(show(packet)),
    data(connectId, payload, first) {
      if (first) lines.push(`data ${connectId} `)
      lines[lines.length - 1] += Buffer.from(payload).toString('hex')
    },
  })
  try {
    for (const chunk of chunks) decode(chunk)
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    refused = error.code
  }
  return { lines, refused }
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_, it) => (typeof it === 'bigint' ? it.toString() : (it as unknown)))

function cut(bytes: Buffer, random: Random): Buffer[] {
  const chunks: Buffer[] = []
  const most = random.pick([1, 3, 20, 500, 20_000])
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(most)
    chunks.push(bytes.subarray(at, at + length))
    at += length
  }
  return chunks
}

function stream(random: Random): Buffer {
  return Buffer.concat(Array.from({ length: 1 + random.below(12) }, () => framed(encodePacket(randomPacket(random)))))
}

t.test('reads a stream the same however it is cut, and as the packet codec reads each message', async (t) => {
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = createRandom(seed)
    const packets = Array.from({ length: 1 + random.below(12) }, () => randomPacket(random))
    const messages = packets.map(encodePacket)
    const expected = messages.map((message) => {
      const packet = decodePacket(message)
      return packet.type === 'DATA'
        ? `data ${packet.connectId} ${Buffer.from(packet.data).toString('hex')}`
        : show(packet)
    })
    const { lines, refused } = read(cut(Buffer.concat(messages.map(framed)), random))
    if (refused !== undefined || show(lines) !== show(expected)) t.fail(`seed ${seed}`, { refused, lines, expected })
  }
})

t.test('reads or refuses a damaged stream the same however it is cut', async (t) => {
  const answers = { read: 0, 'bad-frame': 0, 'message-too-large': 0 }
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = createRandom(seed)
    const bytes = stream(random)
    for (let count = random.below(3); count >= 0; count--)
      bytes[random.below(Math.min(bytes.length, 400))] = random.below(256)
    const whole = read([bytes])
    const pieces = read(cut(bytes, random))
    answers[(whole.refused ?? 'read') as keyof typeof answers]++
    if (whole.refused !== pieces.refused || show(whole.lines) !== show(pieces.lines)) {
      t.fail(`seed ${seed}`, { whole, pieces })
    }
  }
  t.ok(Math.min(...Object.values(answers)) > 10, JSON.stringify(answers))
})
