/** Bytes by the mebibyte that are compared by their hash. */
import { createHash, randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { event, within } from './deadline.ts'

/** No power of two and no divisor of one: a piece that moves in a transfer changes its hash. */
export const BLOCK_BYTES = 1_000_003
const block = randomBytes(BLOCK_BYTES)

export function* pieces(bytes: number): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += BLOCK_BYTES) yield block.subarray(0, Math.min(BLOCK_BYTES, bytes - sent))
}

export function expectedHash(bytes: number): string {
  const hash = createHash('sha256')
  for (const piece of pieces(bytes)) hash.update(piece)
  return hash.digest('hex')
}

/** Writes so many bytes, at the speed at which they are taken. */
export async function sendPattern(socket: Duplex, bytes: number): Promise<void> {
  for (const piece of pieces(bytes)) if (!socket.write(piece)) await event(socket, 'drain')
}

/** And then the end. */
export async function sendAll(socket: Duplex, bytes: number): Promise<void> {
  await sendPattern(socket, bytes)
  socket.end()
}

/** The same bytes, a piece of them every so often. */
export async function sendSlowly(socket: Duplex, bytes: number, pieceBytes: number, everyMs: number): Promise<void> {
  for (const piece of pieces(bytes)) {
    for (let sent = 0; sent < piece.length; sent += pieceBytes) {
      if (!socket.write(piece.subarray(sent, sent + pieceBytes))) await event(socket, 'drain')
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }
}

export type Received = { readonly bytes: number; readonly hash: string }

/** Reads up to the clean end. @throws Error when the connection breaks */
export function receiveAll(socket: Duplex, deadlineMs = 60_000): Promise<Received> {
  const { promise, resolve, reject } = Promise.withResolvers<Received>()
  const hash = createHash('sha256')
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    bytes += chunk.length
  })
  socket.once('end', () => resolve({ bytes, hash: hash.digest('hex') }))
  socket.once('error', reject)
  socket.once('close', () => reject(new Error(`the connection broke after ${bytes} bytes`)))
  socket.resume()
  return within(promise, 'the end of a transfer', deadlineMs)
}

/** Reads exactly so many bytes and gives their hash; what comes behind them is the next that the socket gives. */
export function receivePattern(socket: Duplex, bytes: number, deadlineMs = 60_000): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const hash = createHash('sha256')
  let left = bytes
  const data = (chunk: Buffer): void => {
    hash.update(chunk.subarray(0, left))
    if (chunk.length < left) {
      left -= chunk.length
      return
    }
    socket.pause()
    if (chunk.length > left) socket.unshift(chunk.subarray(left))
    left = 0
    resolve(hash.digest('hex'))
  }
  const gone = (): void => reject(new Error(`the connection ended, ${left} of ${bytes} bytes are missing`))
  socket.on('data', data).once('end', gone).once('close', gone).resume()
  return within(promise, `${bytes} bytes come`, deadlineMs).finally(() => {
    socket.off('data', data).off('end', gone).off('close', gone)
  })
}
