/** An answer that goes on, written as fast as its reader takes it: what waits is bounded, and so is the wait for who takes nothing. */
import type { ServerResponse } from 'node:http'

/** Who reads an answer that goes on. */
export type Reader = {
  /** One who has not read what came before, so that too much waits, is hung up on. */
  readonly write: (text: string) => void
}

export type ReaderLimits = {
  /** That may wait for a reader, besides the beginning: bytes. */
  readonly readerBytes: number
  /** Longest time in which a reader takes nothing of what waits: milliseconds. */
  readonly stallMs: number
}

/** So much is written at once: taking it is what counts as reading. */
const PIECE_BYTES = 65_536

/** @param beginning what a reader gets first, of any length: on a slow line it may take its time, as long as there is progress */
export function goOn(
  response: ServerResponse,
  beginning: string | Uint8Array,
  { readerBytes, stallMs }: ReaderLimits,
): Reader {
  const waiting: Uint8Array[] = []
  let waitingBytes = 0 // of those behind the beginning
  let left = Buffer.from(beginning)
  let stalled: NodeJS.Timeout | undefined // while the reader is slower than we are

  function next(): Uint8Array | undefined {
    if (left.length === 0) {
      const piece = waiting.shift()
      waitingBytes -= piece?.length ?? 0
      return piece
    }
    const piece = left.subarray(0, PIECE_BYTES)
    left = left.subarray(piece.length)
    return piece
  }

  function pump(): void {
    while (!stalled) {
      const piece = next()
      if (piece === undefined) return
      if (!response.write(piece)) stalled = setTimeout(() => response.destroy(), stallMs)
    }
  }

  response.on('drain', () => {
    clearTimeout(stalled)
    stalled = undefined
    pump()
  })
  response.once('close', () => clearTimeout(stalled))
  pump()
  return {
    write(text) {
      if (response.destroyed) return
      const bytes = Buffer.from(text)
      waitingBytes += bytes.length
      if (waitingBytes > readerBytes) return void response.destroy()
      waiting.push(bytes)
      pump()
    },
  }
}
