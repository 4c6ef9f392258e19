/** Packets of every type with random fields, the odd values among them. */
import { Buffer } from 'node:buffer'
import type { Packet } from '../../src/tunnel/packet.ts'
import type { Random } from '../platform/random.ts'
import { ourName, payloadTypeOf, root, typeNames } from './culvert-proto.ts'

/** Fields that need not be exact beyond 2^53: everything but names of dials, of connections, and nonces. */
const isExact = (name: string): boolean => /random|connectID|nonce/.test(name)

export function randomPacket(random: Random): Packet {
  const type = random.pick(typeNames)
  return { type, ...randomFields(payloadTypeOf(type), random) } as unknown as Packet
}

function randomFields(message: ReturnType<typeof payloadTypeOf>, random: Random): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const { name, type, options, repeated } of message.fieldsArray) {
    if (repeated) {
      const item = root.lookupType(type)
      fields[name] = Array.from({ length: random.below(4) }, () => randomFields(item, random))
      continue
    }
    if (options?.proto3_optional && random.chance(50)) continue
    if (type === 'string') fields[ourName(name)] = randomText(random)
    else if (type === 'bytes') fields[name] = randomBytes(random)
    else if (type === 'int64') fields[ourName(name)] = randomInteger(random, isExact(name))
    else fields[name] = randomFields(root.lookupType(type), random)
  }
  return fields
}

function randomInteger(random: Random, exact: boolean): number | bigint {
  const edges = [0, 1, -1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 49 - 1, 2 ** 49, 2 ** 53 - 1]
  if (random.chance(60)) return random.pick(edges)
  const bits = BigInt(random.below(2 ** 31)) * 2n ** 33n + BigInt(random.below(2 ** 31)) * 2n + BigInt(random.below(2))
  const wide = BigInt.asIntN(64, bits >> BigInt(random.below(64)))
  const narrow = exact ? wide : BigInt.asIntN(53, wide)
  return Number.isSafeInteger(Number(narrow)) ? Number(narrow) : narrow
}

function randomText(random: Random): string {
  const pieces = ['', 'a', 'tcp', '10.0.0.1:80', 'ü', '→', '𝄞', '\0', 'x'.repeat(127), 'y'.repeat(128)]
  return Array.from({ length: random.below(4) }, () => random.pick(pieces)).join('')
}

function randomBytes(random: Random): Buffer {
  const bytes = Buffer.alloc(random.pick([0, 1, 100, 127, 128, 20_000]))
  for (let at = 0; at < bytes.length; at += 7) bytes[at] = random.below(256)
  return bytes
}
