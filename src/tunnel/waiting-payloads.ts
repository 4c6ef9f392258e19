/**
 * What waits for a slow socket, kept in hardly more memory than it has bytes: a payload is a view of the read that it came in, and
 * by itself would keep all of that; many small ones would cost more in bookkeeping than they weigh. Pure.
 */
import { Buffer } from 'node:buffer'

/** Smaller ones are put together: bytes. */
const SMALL_BYTES = 2 * 1024
/** What they are put together in, at first and at most; twice as large from one to the next: bytes. */
const FIRST_BYTES = 512
const MOST_BYTES = 16 * 1024

export type WaitingPayloads = {
  /** @param stays it will wait for long: else it is not worth a copy */
  readonly push: (bytes: Uint8Array, stays: boolean) => void
  readonly isEmpty: () => boolean
  /** All of it, in order; nothing waits then. */
  readonly take: () => Uint8Array[]
}

/** The payload, or a copy when it is a small part of what it would keep in memory. */
export function compact(bytes: Uint8Array): Uint8Array {
  if (bytes.length * 2 >= bytes.buffer.byteLength) return bytes
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}

export function createWaitingPayloads(): WaitingPayloads {
  let pieces: Uint8Array[] = []
  let block: Buffer | undefined // the last piece is the used part of it
  let used = 0

  function add(bytes: Uint8Array): void {
    if (!block || used + bytes.length > block.length) {
      const size = block ? Math.min(MOST_BYTES, block.length * 2) : FIRST_BYTES
      block = Buffer.allocUnsafeSlow(Math.max(size, bytes.length))
      used = 0
      pieces.push(block)
    }
    block.set(bytes, used)
    used += bytes.length
    pieces[pieces.length - 1] = block.subarray(0, used)
  }

  return {
    push(bytes, stays) {
      if (stays && bytes.length < SMALL_BYTES) return add(bytes)
      block = undefined
      pieces.push(stays ? compact(bytes) : bytes)
    },
    isEmpty: () => pieces.length === 0,
    take() {
      const all = pieces
      pieces = []
      block = undefined
      return all
    },
  }
}
