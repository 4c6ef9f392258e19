/** What waits for the client of a call, in order, and its next piece as it goes out: gRPC messages in one buffer. Pure. */
import { Buffer } from 'node:buffer'
import { dataOverheadBytes, messageBytes, writeDataStart, writeMessage } from '../../tunnel/grpc-messages.ts'
import type { Int64, Packet } from '../../tunnel/packet.ts'
import { compact } from '../../tunnel/waiting-payloads.ts'
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
  /** The next piece: at most so many bytes, and the head or the rest of one message more. */
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
/** What goes into a piece: a packet, or the first bytes of what waits for a connection. `size` is that of the whole message. */
type Part =
  | { readonly packet: Packet; readonly size: number }
  | { readonly of: Data; readonly bytes: number; readonly size: number }

function append(to: Data, bytes: Uint8Array): void {
  const last = to.pieces.at(-1)!
  to.bytes += bytes.length
  if (bytes.length >= SMALL_BYTES || last.length >= TOGETHER_BYTES) {
    to.together = undefined
    to.pieces.push(compact(bytes))
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
      const part = 'type' in next ? { packet: next, size: messageBytes(next) } : firstOf(next, room)
      parts.push(part)
      room -= part.size
    }
    return parts
  }

  function firstOf(of: Data, mostBytes: number): Part {
    const bytes = Math.min(mostBytes, of.bytes)
    return { of, bytes, size: dataOverheadBytes(of.id, bytes) + bytes }
  }

  /** @returns whether nothing of it waits any more */
  function write(writer: Writer, part: Part): boolean {
    if ('packet' in part) {
      writeMessage(writer, part.packet)
      return true
    }
    const { of, bytes } = part
    writeDataStart(writer, of.id, bytes)
    const end = writer.at + bytes
    let whole = 0
    while (writer.at < end) {
      const next = of.pieces[whole]!
      const count = Math.min(next.length, end - writer.at)
      writer.bytes.set(next.subarray(0, count), writer.at)
      writer.at += count
      if (count === next.length) whole++
      else of.pieces[whole] = next.subarray(count)
    }
    of.pieces.splice(0, whole) // at once: to shift one after the other takes the square of their number
    of.bytes -= bytes
    return of.bytes === 0
  }

  function left(part: Part): void {
    if ('packet' in part) packetBytes -= part.size
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
      else waiting.push({ id, pieces: [compact(bytes)], together: undefined, bytes: bytes.length, left })
    },
    take(mostBytes) {
      const parts = choose(mostBytes)
      if (parts.length === 0) return undefined
      let size = 0
      for (const part of parts) size += part.size
      const writer: Writer = { bytes: Buffer.allocUnsafe(size), at: 0 }
      let whole = 0
      for (const part of parts) if (write(writer, part)) whole++
      waiting.splice(0, whole)
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
