/**
 * gRPC's length-prefixed messages, and in them packets, from bytes as they arrive. Pure: no sockets, no timers.
 *
 *   byte 0       1..4       5..
 *   compressed | length n | n bytes: one Packet
 *
 * The payload of a DATA packet is handed on piece by piece as it arrives, so a long one is neither collected nor copied.
 * Source: "gRPC over HTTP/2", length-prefixed message; docs/protocol.md section 9 for the limit.
 */
import { Buffer } from 'node:buffer'
import { TunnelError } from '../platform/errors.ts'
import type { FrameSink, Framing } from './framing.ts'
import type { Int64, Packet } from './packet.ts'
import { dataHeadBytes, decodePacket, packetBytes, writeDataHead, writePacket } from './packet-codec.ts'
import type { Writer } from './wire-write.ts'

export const PREFIX_BYTES = 5

type DataHead = { readonly connectId: number; readonly payloadAt: number }

/**
 * Returns a function that takes the next chunk; what it completes goes to the sink in order. It tells whether the chunk ended
 * with a message: else the rest of one is still to come.
 *
 * @param maxMessageBytes checked against the prefix, before any of the message is held
 * @throws TunnelError `message-too-large` or `bad-frame`; the stream cannot be resynchronised, so end it
 */
export function grpcDecoder(maxMessageBytes: number, sink: FrameSink): (chunk: Uint8Array) => boolean {
  let held: Uint8Array[] = []
  let heldBytes = 0
  let wanted = 0 // bytes that must be held before looking again
  let streaming = 0 // bytes of payload still to come of the DATA packet that is being handed on
  let streamingTo: Int64 = 0

  /** Handles the message at `at`; gives where the next one starts, or -1 when more bytes are needed. */
  function message(bytes: Buffer, at: number): number {
    const available = bytes.length - at
    if (available < PREFIX_BYTES) return waitFor(PREFIX_BYTES)
    if (bytes[at] !== 0) throw new TunnelError('bad-frame', 'a compressed message, where none was negotiated')
    const length = bytes.readUInt32BE(at + 1)
    if (length > maxMessageBytes) {
      throw new TunnelError('message-too-large', `a message of ${length} bytes is over the limit of ${maxMessageBytes}`)
    }
    const start = at + PREFIX_BYTES
    const end = start + length
    const head = dataHead(bytes, start, end)
    if (head === 'more') return waitFor(available + 1)
    if (head !== undefined) {
      sink.data(head.connectId, bytes.subarray(head.payloadAt, Math.min(end, bytes.length)), true)
      if (end > bytes.length) {
        streaming = end - bytes.length
        streamingTo = head.connectId
      }
      return Math.min(end, bytes.length)
    }
    if (end > bytes.length) return waitFor(PREFIX_BYTES + length)
    const packet = decodePacket(bytes.subarray(start, end))
    if (packet.type === 'DATA') sink.data(packet.connectId, packet.data, true)
    else sink.packet(packet)
    return end
  }

  function hold(chunks: Uint8Array[], bytes: number): void {
    held = chunks
    heldBytes = bytes
    sink.held?.(bytes)
  }

  function waitFor(bytes: number): -1 {
    wanted = bytes
    return -1
  }

  return (chunk) => {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = 0
    if (streaming > 0) {
      at = Math.min(streaming, bytes.length)
      streaming -= at
      sink.data(streamingTo, bytes.subarray(0, at), false)
    }
    if (heldBytes > 0) {
      held.push(bytes)
      hold(held, heldBytes + bytes.length)
      if (heldBytes < wanted) return false // nothing is copied while a long message arrives
      bytes = Buffer.concat(held)
      hold([], 0)
    }
    while (at < bytes.length) {
      const next = message(bytes, at)
      if (next < 0) {
        hold([bytes.subarray(at)], bytes.length - at)
        return false
      }
      at = next
    }
    return streaming === 0
  }
}

/**
 * The head of a DATA packet in the shape that every known peer writes (type, then the payload field, then connectID and
 * data, nothing else); `undefined` for anything else, which the general decoder then reads; `more` when it is cut.
 */
function dataHead(bytes: Buffer, start: number, end: number): DataHead | 'more' | undefined {
  const known = Math.min(end, bytes.length)
  if (start >= known) return end > bytes.length ? 'more' : undefined
  if (bytes[start] !== 0x08) return undefined
  if (start + 2 >= known) return end > bytes.length ? 'more' : undefined
  if (bytes[start + 1] !== 0x04 || bytes[start + 2] !== 0x22) return undefined
  let at = start + 3
  let cut = false
  const varint = (): number => {
    let value = 0
    let scale = 1
    for (let count = 0; count < 7; count++) {
      if (at >= known) {
        cut = true
        return -1
      }
      const byte = bytes[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    return -1
  }
  const tag = (expected: number): boolean => {
    if (at >= known) {
      cut = true
      return false
    }
    return bytes[at++] === expected
  }
  const inner = varint()
  if (inner >= 0 && at + inner === end && tag(0x08)) {
    const connectId = varint()
    if (connectId >= 0 && tag(0x1a)) {
      const length = varint()
      if (length >= 0 && at + length === end) return { connectId, payloadAt: at }
    }
  }
  return cut && end > bytes.length ? 'more' : undefined
}

/** Bytes of the message that carries this packet. */
export const messageBytes = (packet: Packet): number => PREFIX_BYTES + packetBytes(packet)

export function writeMessage(writer: Writer, packet: Packet): void {
  writer.bytes[writer.at] = 0
  writer.bytes.writeUInt32BE(packetBytes(packet), writer.at + 1)
  writer.at += PREFIX_BYTES
  writePacket(writer, packet)
}

/** Bytes that stand before the payload in the message of a DATA packet. */
export const dataOverheadBytes = (connectId: Int64, length: number): number =>
  PREFIX_BYTES + dataHeadBytes(connectId, length)

/** Writes a DATA packet with its payload, copying it. */
export function writeData(writer: Writer, connectId: Int64, payload: Uint8Array): void {
  writeDataStart(writer, connectId, payload.length)
  writer.bytes.set(payload, writer.at)
  writer.at += payload.length
}

/** Writes what stands before the payload in the message of a DATA packet. */
export function writeDataStart(writer: Writer, connectId: Int64, length: number): void {
  writer.bytes[writer.at] = 0
  writer.bytes.writeUInt32BE(dataHeadBytes(connectId, length) + length, writer.at + 1)
  writer.at += PREFIX_BYTES
  writeDataHead(writer, connectId, length)
}

export const grpcFraming: Framing = {
  packetBytes: messageBytes,
  writePacket: writeMessage,
  dataOverheadBytes,
  writeData,
}
