/** What waits for the client of a call, in order, and its next piece as it goes out: gRPC messages in one buffer. Pure. */
import { Buffer } from 'node:buffer'
import { dataOverheadBytes, messageBytes, writeDataStart, writeMessage } from '../../tunnel/grpc-messages.ts'
import type { Int64, Packet } from '../../tunnel/packet.ts'
import type { Writer } from '../../tunnel/wire-write.ts'

export type Piece = {
  readonly bytes: Buffer
  /** Messages of DATA in it. */
  readonly dataMessages: number
  /** To be called once, when it has left or never will. */
  readonly left: () => void
}

export type CallOutbox = {
  readonly packet: (packet: Packet) => void
  /** Not copied yet. @param left is told, perhaps in pieces, how many of the bytes have left or never will */
  readonly data: (id: Int64, bytes: Uint8Array, left: (bytes: number) => void) => void
  /** The next piece: at most so many bytes and the head of a message. */
  readonly take: (mostBytes: number) => Piece | undefined
  readonly isEmpty: () => boolean
  /** Bytes of packets besides data that have not left, taken or not. */
  readonly packetBytes: () => number
  /** Gives up what waits. */
  readonly drop: () => void
}

/** Smaller payloads are put together: each by itself would hold on to the whole read that it came in. Bytes. */
const SMALL_BYTES = 2 * 1024
const TOGETHER_BYTES = 4 * 1024

type Data = {
  readonly id: Int64
  readonly pieces: Uint8Array[]
  /** Where the last piece is, if it is one that small payloads were put together in, and how much of that is used. */
  together: { readonly bytes: Buffer; used: number } | undefined
  bytes: number
  readonly left: (bytes: number) => void
}
type Part = { readonly packet: Packet; readonly bytes: number } | { readonly of: Data; readonly bytes: number }

function append(to: Data, bytes: Uint8Array): void {
  const last = to.pieces.at(-1)
  to.bytes += bytes.length
  if (!last || bytes.length >= SMALL_BYTES || last.length >= TOGETHER_BYTES) {
    to.together = undefined
    to.pieces.push(bytes)
    return
  }
  if (!to.together || to.together.used + bytes.length > TOGETHER_BYTES) {
    const fresh = last.length + bytes.length <= TOGETHER_BYTES
    to.together = { bytes: Buffer.allocUnsafeSlow(TOGETHER_BYTES), used: 0 }
    if (fresh) {
      to.together.bytes.set(last)
      to.together.used = last.length
      to.pieces.pop()
    }
    to.pieces.push(to.together.bytes.subarray(0, to.together.used))
  }
  const { together } = to
  const view = to.pieces.at(-1)!
  const start = together.used - view.length
  together.bytes.set(bytes, together.used)
  together.used += bytes.length
  to.pieces[to.pieces.length - 1] = together.bytes.subarray(start, together.used)
}

export function createCallOutbox(): CallOutbox {
  const waiting: (Packet | Data)[] = []
  let packetBytes = 0

  /** What goes into the next piece, without taking it. */
  function choose(mostBytes: number): Part[] {
    const parts: Part[] = []
    let room = mostBytes
    for (const next of waiting) {
      if (room <= 0) break
      const part =
        'type' in next ? { packet: next, bytes: messageBytes(next) } : { of: next, bytes: Math.min(room, next.bytes) }
      parts.push(part)
      room -= part.bytes
    }
    return parts
  }

  function write(writer: Writer, part: Part): void {
    if ('packet' in part) {
      waiting.shift()
      return writeMessage(writer, part.packet)
    }
    writeDataStart(writer, part.of.id, part.bytes)
    const end = writer.at + part.bytes
    while (writer.at < end) {
      const first = part.of.pieces[0]!
      const count = Math.min(first.length, end - writer.at)
      writer.bytes.set(first.subarray(0, count), writer.at)
      writer.at += count
      if (count === first.length)
        part.of.pieces.shift() // the last one of all goes with `of` itself
      else part.of.pieces[0] = first.subarray(count)
    }
    part.of.bytes -= part.bytes
    if (part.of.bytes === 0) waiting.shift()
  }

  function left(part: Part): void {
    if ('packet' in part) packetBytes -= part.bytes
    else part.of.left(part.bytes)
  }

  return {
    packet(packet) {
      packetBytes += messageBytes(packet)
      waiting.push(packet)
    },
    data(id, bytes, left) {
      const last = waiting.at(-1)
      if (last && !('type' in last) && last.id === id) append(last, bytes)
      else waiting.push({ id, pieces: [bytes], together: undefined, bytes: bytes.length, left })
    },
    take(mostBytes) {
      const parts = choose(mostBytes)
      if (parts.length === 0) return undefined
      let size = 0
      for (const part of parts) size += part.bytes + ('of' in part ? dataOverheadBytes(part.of.id, part.bytes) : 0)
      const writer: Writer = { bytes: Buffer.allocUnsafe(size), at: 0 }
      for (const part of parts) write(writer, part)
      return {
        bytes: writer.bytes,
        dataMessages: parts.filter((part) => 'of' in part).length,
        left() {
          for (const part of parts) left(part)
        },
      }
    },
    isEmpty: () => waiting.length === 0,
    packetBytes: () => packetBytes,
    drop() {
      for (const one of waiting.splice(0)) {
        if ('type' in one) packetBytes -= messageBytes(one)
        else one.left(one.bytes)
      }
    },
  }
}
