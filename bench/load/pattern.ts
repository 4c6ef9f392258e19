/**
 * The bytes that bulk transfers carry. Each offset has its byte, so a receiver that looks at the ends of what it was
 * given notices bytes lost, doubled or out of order, at a cost that does not grow with the bytes.
 */

/** No byte of the pattern has this value: it ends an upload. */
export const END_BYTE = 255
/** Stands for the count of bytes when what arrived is not the pattern. */
export const DAMAGED = 2n ** 64n - 1n
const PERIOD_BYTES = 65_536
/** One write: large, so that the load costs few turns of the event loop. */
const BLOCK_BYTES = 4 * PERIOD_BYTES

export const block = makeBlock()

/** Whether `length` bytes of `chunk` may stand at `offset` of a transfer. */
export function fits(chunk: Uint8Array, length: number, offset: number): boolean {
  return chunk[0] === block[offset % PERIOD_BYTES] && chunk[length - 1] === block[(offset + length - 1) % PERIOD_BYTES]
}

/** The first bytes of a transfer. */
export function pattern(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / BLOCK_BYTES) }, () => block)
  return Buffer.concat(blocks).subarray(0, length)
}

function makeBlock(): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES)
  let state = 1
  for (let at = 0; at < PERIOD_BYTES; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = (state >>> 24) % END_BYTE
  }
  for (let at = PERIOD_BYTES; at < BLOCK_BYTES; at += PERIOD_BYTES) bytes.copy(bytes, at, 0, PERIOD_BYTES)
  return bytes
}
