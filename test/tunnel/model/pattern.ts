/** Bytes that tell where they belong: every stream of the model starts at another place of one long pattern. */
import { Buffer } from 'node:buffer'
import { createRandom } from '../../platform/random.ts'

const PERIOD = 65_521 // a prime: no power of two is a multiple
const MOST_AT_ONCE = 512 * 1024

const random = createRandom(7)
const period = Buffer.from(Array.from({ length: PERIOD }, () => random.below(256)))
const pattern = Buffer.concat(Array.from({ length: Math.ceil(MOST_AT_ONCE / PERIOD) + 1 }, () => period))

/** What a stream holds from `offset` on. */
export function patternAt(stream: number, offset: number, length: number): Buffer {
  const start = (stream * 7_919 + offset) % PERIOD
  return pattern.subarray(start, start + length)
}
