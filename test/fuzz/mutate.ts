/** Inputs from those that there are: bytes changed, cut out, repeated, put in; parts of two joined; numbers made odd. */
import type { Random } from '../platform/random.ts'

/** Longer ones take longer and find no more: bytes. */
const MAX_INPUT_BYTES = 8_192
/** Most of what is told apart stands at the beginning: bytes. */
const BEGINNING_BYTES = 300
const NUMBERS = ['0', '00', '-1', '255', '256', '65535', '65536', '2147483648', '1e9', '9007199254740993', '0x10', '']

export const latin1 = (...pieces: readonly string[]): readonly Buffer[] =>
  pieces.map((text) => Buffer.from(text, 'latin1'))
export const utf8 = (...pieces: readonly string[]): readonly Buffer[] => pieces.map((text) => Buffer.from(text))

/**
 * @param bytes what to begin with
 * @param pieces what the reader knows: its words and signs
 */
export function mutated(
  random: Random,
  bytes: Buffer,
  corpus: readonly Buffer[],
  pieces: readonly Buffer[],
  changes = random.below(5),
): Buffer {
  let changed = bytes
  for (let count = changes; count > 0; count--) changed = change(random, changed, corpus, pieces)
  return changed.subarray(0, MAX_INPUT_BYTES)
}

function change(random: Random, bytes: Buffer, corpus: readonly Buffer[], pieces: readonly Buffer[]): Buffer {
  const at = random.below((random.chance(50) ? bytes.length : Math.min(bytes.length, BEGINNING_BYTES)) + 1)
  const dropped = random.chance(30) ? random.below(24) : 1
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (random.below(9)) {
    case 0:
      return Buffer.concat([before, Buffer.from([random.below(256)]), after.subarray(1)])
    case 1:
      return Buffer.concat([before, Buffer.from([(after[0] ?? 0) ^ (1 << random.below(8))]), after.subarray(1)])
    case 2:
      return Buffer.concat([before, random.pick(pieces), after])
    case 3:
      return Buffer.concat([before, random.pick(pieces), after.subarray(dropped)])
    case 4:
      return Buffer.concat([before, after.subarray(dropped)])
    case 5:
      return Buffer.concat([before, after.subarray(0, random.below(40)), after])
    case 6:
      return Buffer.concat([
        before,
        partOf(random, random.pick(corpus)),
        after.subarray(random.chance(50) ? 0 : dropped),
      ])
    case 7:
      return Buffer.concat([before, random.pick(corpus).subarray(at)])
    default:
      return withOddNumber(random, bytes)
  }
}

function partOf(random: Random, bytes: Buffer): Buffer {
  const from = random.below(bytes.length + 1)
  return bytes.subarray(from, from + 1 + random.below(60))
}

function withOddNumber(random: Random, bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const numbers = [...text.matchAll(/\d+/g)]
  if (numbers.length === 0) return bytes
  const { 0: digits, index } = random.pick(numbers)
  const other = text.slice(0, index) + random.pick(NUMBERS) + text.slice(index + digits.length)
  return Buffer.from(other, 'latin1')
}
