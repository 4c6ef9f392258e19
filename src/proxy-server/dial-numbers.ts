/** Numbers that name dials: random, as the reference's are, so that nobody can guess a pending one. */
import { Buffer } from 'node:buffer'
import { randomFillSync } from 'node:crypto'
import type { Int64 } from '../tunnel/packet.ts'

const POOLED = 512
const MAX_INT64 = (1n << 63n) - 1n

/** Non-negative int64s, a number where a double holds it, as the packet codec gives them back. */
export function createDialNumbers(): () => Int64 {
  const pool = Buffer.alloc(8 * POOLED)
  let at = pool.length
  return () => {
    if (at === pool.length) {
      randomFillSync(pool)
      at = 0
    }
    const number = pool.readBigUInt64BE(at) & MAX_INT64
    at += 8
    return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number
  }
}
