/**
 * The hand-written codec beside protobufjs: the same packets to the same bytes and back; damaged bytes and noise are read or
 * refused, never anything else. A failing round prints its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { TunnelError } from '../../src/platform/errors.ts'
import { decodePacket, encodePacket, packetBytes } from '../../src/tunnel/packet-codec.ts'
import { createRandom, type Random } from '../platform/random.ts'
import { decodeByProtobufjs, encodeByProtobufjs } from '../tunnel/culvert-proto.ts'
import { randomPacket } from '../tunnel/random-packet.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 4_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)

/** Equal also where one side has a number and the other a bigint or bytes of another class. */
const isSame = (one: unknown, other: unknown): boolean => text(one) === text(other)

const text = (packet: unknown): string =>
  JSON.stringify(packet, (_, value) => {
    if (typeof value === 'bigint') return value.toString()
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  })

t.test('writes the bytes that protobufjs writes, and reads them as it does', async (t) => {
  const seen = new Set<string>()
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const packet = randomPacket(createRandom(seed))
    seen.add(packet.type)
    const bytes = encodePacket(packet)
    const same =
      bytes.equals(encodeByProtobufjs(packet)) &&
      bytes.length === packetBytes(packet) &&
      isSame(decodePacket(bytes), packet) &&
      isSame(decodeByProtobufjs(bytes), packet)
    if (!same) t.fail(`seed ${seed}`, { found: decodePacket(bytes), wanted: packet })
  }
  t.equal(seen.size, 21, 'every type came up')
})

t.test('answers damaged bytes with a packet or bad-frame', async (t) => {
  const answers = { packet: 0, 'bad-frame': 0 }
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = createRandom(seed)
    const bytes = damage(encodePacket(randomPacket(random)), random)
    try {
      decodePacket(bytes)
      answers.packet++
    } catch (error) {
      if (!(error instanceof TunnelError) || error.code !== 'bad-frame') t.fail(`seed ${seed}: ${error}`, { bytes })
      answers['bad-frame']++
    }
  }
  t.ok(Math.min(...Object.values(answers)) > ROUNDS / 20, JSON.stringify(answers))
})

t.test('answers noise with a packet or bad-frame', async (t) => {
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = createRandom(seed)
    const bytes = Buffer.from(Array.from({ length: random.below(24) }, () => random.below(256)))
    try {
      decodePacket(bytes)
    } catch (error) {
      if (!(error instanceof TunnelError) || error.code !== 'bad-frame') t.fail(`seed ${seed}: ${error}`, { bytes })
    }
  }
})

function damage(bytes: Buffer, random: Random): Buffer {
  let damaged = Buffer.from(bytes)
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(damaged.length + 1)
    const dropped = random.below(4)
    const put = Buffer.from(Array.from({ length: random.below(4) }, () => random.below(256)))
    damaged = Buffer.concat([damaged.subarray(0, at), put, damaged.subarray(at + dropped)])
  }
  return damaged
}
