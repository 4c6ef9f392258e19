/**
 * What backends send is read into one buffer that all their sockets share, larger than the 64 KiB that Node makes anew for each read: an idle
 * connection has none, and bulk costs fewer reads. Node reads into it at any moment, for whichever socket, so nothing is ever written from it:
 * what the kernel does not take at once lies where the write says until it does. Bytes are copied first, which hardly costs, as they are in
 * the processor's cache: into a buffer that is used again at once where the kernel took all of it.
 */
import { Buffer } from 'node:buffer'
import type { OnReadOpts, Socket } from 'node:net'

/** Bytes of one read. Twice as many cost hardly less of the processor, and double what waits for a client that reads nothing. */
export const READ_BYTES = 131_072
/** Buffers that are kept for the next bulk: those behind writes that waited, for as many clients at a time as this. */
const MAX_FREE = 16

/** Given bytes that are good until it returns. */
export type Read = (bytes: Buffer) => void

/** A socket that is made with these gives what it reads to `read`, and has no 'data'. Its 'end' comes as always, once it flows. */
export const intoSharedBuffer = (read: Read): OnReadOpts => ({
  buffer: readBuffer,
  callback(count) {
    read(readBuffer.subarray(0, count))
    return true
  },
})

export type Forwarding = {
  readonly write: Read
  /** To be called at each 'drain'. */
  readonly drained: () => void
}

/** Writes copies: what waits takes no more than twice its bytes, and no more than one buffer where the caller stops at the mark of `socket`. */
export function forwardTo(socket: Socket): Forwarding {
  let lent: Buffer | undefined // to a write that is not finished; one that never is leaves it to the garbage collector
  return {
    write(bytes) {
      // Below that mark no 'drain' would tell when the buffer is free, and a few bytes would hold all of it.
      if (bytes.length < socket.writableHighWaterMark) return void socket.write(copyOf(bytes))
      const buffer = free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES)
      bytes.copy(buffer)
      socket.write(buffer.subarray(0, bytes.length))
      if (socket.writableLength > 0) lent = buffer
      else giveBack(buffer)
    },
    drained() {
      if (lent) giveBack(lent)
      lent = undefined
    },
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}

function giveBack(buffer: Buffer): void {
  if (free.length < MAX_FREE) free.push(buffer)
}

const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)
const free: Buffer[] = []
