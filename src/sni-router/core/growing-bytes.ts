/**
 * Bytes that come in pieces, in one buffer that doubles: a thousand pieces of one byte cost what one of a thousand costs, and
 * none of them keeps the read that it came in. Pure.
 */
import { Buffer } from 'node:buffer'

const FIRST_BYTES = 2_048

export type GrowingBytes = {
  readonly length: () => number
  readonly add: (piece: Uint8Array) => void
  /** All of them; a view that the next `add` may leave behind. */
  readonly view: () => Buffer
}

export function growingBytes(): GrowingBytes {
  let held = Buffer.alloc(0)
  let length = 0
  return {
    length: () => length,
    add(piece) {
      if (length + piece.length > held.length) {
        const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 * held.length, length + piece.length))
        held.copy(grown, 0, 0, length)
        held = grown
      }
      held.set(piece, length)
      length += piece.length
    },
    view: () => held.subarray(0, length),
  }
}
