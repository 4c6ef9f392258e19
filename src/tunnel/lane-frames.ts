/**
 * The frames of a lane, from bytes as they arrive. Pure: no sockets, no timers.
 *
 *   byte 0     1..3       4..7         8..
 *   type     | length n | connection | n bytes
 *
 * DATA has its payload and its connection; every other packet has 0 there, and its bytes as in `Packet`. All numbers are
 * unsigned, the most significant byte first. Source: docs/protocol.md section 10.
 */
import { Buffer } from 'node:buffer'
import { TunnelError } from '../platform/errors.ts'
import type { FrameSink, Framing } from './framing.ts'
import type { Int64, Packet } from './packet.ts'
import { decodePacket, packetBytes, writePacket } from './packet-codec.ts'

export const HEAD_BYTES = 8
/** What a frame can say of a connection; one with a higher number stays on the first carrier. */
export const MAX_LANE_CONNECT_ID = 2 ** 32 - 1
/** Longest payload of DATA, and longest other packet: bytes. Ours are at most 512 KiB, and 63 bytes. */
export const MAX_DATA_BYTES = 1024 * 1024
export const MAX_PACKET_BYTES = 64
/** What else goes over a lane. All other packets have no business there. */
const CARRIED: ReadonlySet<Packet['type']> = new Set(['MOVE', 'END_OF_DATA', 'PING', 'PONG'])
const DATA = 4
const PACKET = 255

export const laneFraming: Framing = {
  packetBytes: (packet) => HEAD_BYTES + packetBytes(packet),
  writePacket(writer, packet) {
    writeHead(writer.bytes, writer.at, PACKET, packetBytes(packet), 0)
    writer.at += HEAD_BYTES
    writePacket(writer, packet)
  },
  dataOverheadBytes: () => HEAD_BYTES,
  writeData(writer, connectId, payload) {
    writeHead(writer.bytes, writer.at, DATA, payload.length, Number(connectId))
    writer.bytes.set(payload, writer.at + HEAD_BYTES)
    writer.at += HEAD_BYTES + payload.length
  },
}

function writeHead(bytes: Buffer, at: number, type: number, length: number, connectId: number): void {
  bytes.writeUInt32BE(type * 2 ** 24 + length, at)
  bytes.writeUInt32BE(connectId, at + 4)
}

/**
 * Returns a function that takes the next chunk; what it completes goes to the sink in order.
 *
 * @throws TunnelError `message-too-large` or `bad-frame`; the lane cannot be resynchronised, so end it
 */
export function laneDecoder(sink: FrameSink): (chunk: Uint8Array) => void {
  let held: Buffer | undefined // the beginning of a head, or of a packet with its head
  let streaming = 0 // bytes of payload still to come of the DATA frame that is being handed on
  let streamingTo: Int64 = 0

  /** Handles the frame at `at`; gives where the next one starts, or -1 when more bytes are needed. */
  function frame(bytes: Buffer, at: number): number {
    const available = bytes.length - at
    if (available < HEAD_BYTES) return -1
    const length = bytes.readUIntBE(at + 1, 3)
    const start = at + HEAD_BYTES
    const end = start + length
    switch (bytes[at]) {
      case DATA:
        checkLength('a payload', length, MAX_DATA_BYTES)
        streamingTo = bytes.readUInt32BE(at + 4)
        streaming = Math.max(0, end - bytes.length)
        sink.data(streamingTo, bytes.subarray(start, end), true)
        return end - streaming
      case PACKET: {
        checkLength('a packet', length, MAX_PACKET_BYTES)
        if (end > bytes.length) return -1
        const packet = decodePacket(bytes.subarray(start, end))
        if (packet.type === 'DATA' || !CARRIED.has(packet.type)) {
          throw new TunnelError('bad-frame', `a packet of type ${packet.type} on a lane`)
        }
        sink.packet(packet)
        return end
      }
      default:
        throw new TunnelError('bad-frame', `a frame of type ${bytes[at]} on a lane`)
    }
  }

  return (chunk) => {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = 0
    if (streaming > 0) {
      at = Math.min(streaming, bytes.length)
      streaming -= at
      sink.data(streamingTo, bytes.subarray(0, at), false)
    } else if (held) {
      bytes = Buffer.concat([held, bytes])
      held = undefined
    }
    while (at < bytes.length) {
      const next = frame(bytes, at)
      if (next < 0) {
        held = Buffer.from(bytes.subarray(at)) // a copy: a few bytes must not keep the whole chunk
        return
      }
      at = next
    }
  }
}

function checkLength(what: string, length: number, limit: number): void {
  if (length <= limit) return
  throw new TunnelError('message-too-large', `${what} of ${length} bytes is over the limit of ${limit} of a lane`)
}
