/**
 * What waits behind the write under way: data in order in one buffer, and control frames that will stand in front of it.
 * Taking it gives one contiguous piece without a copy, because the buffer keeps room ahead of its data. Pure.
 * Source: docs/protocol.md section 4.
 */
import { Buffer } from 'node:buffer'
import type { Framing } from './framing.ts'
import type { Int64, Packet } from './packet.ts'
import type { Writer } from './wire-write.ts'

/** Most data that waits: bytes. More would only stand in front of somebody's round trip. */
export const FILL_BYTES = 512 * 1024
/** Kept free ahead of the data for control frames; more of them than fit cost a copy. */
const AHEAD_BYTES = 4 * 1024
/** What a quiet tunnel writes with. */
const SMALL_BYTES = 16 * 1024
/** The message head of a DATA packet, at its longest. */
const HEAD_BYTES = 64
/** Of a buffer full of data: no piece is larger but for other frames. */
export const FULL_BYTES = AHEAD_BYTES + FILL_BYTES + HEAD_BYTES

export type Outbox = {
  readonly control: (packet: Packet) => void
  readonly ordered: (packet: Packet) => void
  readonly data: (connectId: Int64, payload: Uint8Array) => void
  /** Bytes of payload that may be added. */
  readonly room: () => number
  /** What waits besides data: bytes of memory. */
  readonly excessBytes: () => number
  /** All that waits, as one piece; `undefined` when there is nothing. The caller owns it until it gives it back. */
  readonly take: () => Buffer | undefined
  /** Gives back a piece that was written. */
  readonly giveBack: (piece: Buffer) => void
  /** Lets go of spare memory. */
  readonly shrink: () => void
}

/** What a control frame that waits takes besides its bytes. */
const PACKET_BYTES = 128

const nothing = Buffer.alloc(0)

export function createOutbox({ packetBytes, writePacket, dataOverheadBytes, writeData }: Framing): Outbox {
  let fill: Writer = { bytes: nothing, at: AHEAD_BYTES }
  let spare: Buffer = nothing
  let control: Packet[] = []
  let controlBytes = 0

  /** Makes room for `bytes` more. */
  function reserve(bytes: number): void {
    const wanted = fill.at + bytes
    if (wanted <= fill.bytes.length) return
    const beyond = Math.max(wanted, fill.bytes.length * 2) // ordered frames are never refused, and may be many
    const size = wanted <= SMALL_BYTES ? SMALL_BYTES : wanted <= FULL_BYTES ? FULL_BYTES : beyond
    const larger = spare.length >= size ? spare : Buffer.allocUnsafeSlow(size)
    if (larger === spare) spare = nothing
    if (fill.at > AHEAD_BYTES) fill.bytes.copy(larger, AHEAD_BYTES, AHEAD_BYTES, fill.at)
    fill = { bytes: larger, at: fill.at }
  }

  function takeWithControl(): Buffer {
    const dataBytes = fill.at - AHEAD_BYTES
    if (fill.bytes === nothing) reserve(0)
    const ahead = controlBytes <= AHEAD_BYTES && fill.bytes !== nothing
    const bytes = ahead ? fill.bytes : Buffer.allocUnsafeSlow(controlBytes + dataBytes)
    const start = ahead ? AHEAD_BYTES - controlBytes : 0
    const writer: Writer = { bytes, at: start }
    for (const packet of control) writePacket(writer, packet)
    if (!ahead) fill.bytes.copy(bytes, writer.at, AHEAD_BYTES, fill.at)
    const piece = bytes.subarray(start, start + controlBytes + dataBytes)
    control = []
    controlBytes = 0
    fill = ahead ? { bytes: nothing, at: AHEAD_BYTES } : { bytes: fill.bytes, at: AHEAD_BYTES }
    return piece
  }

  return {
    control(packet) {
      control.push(packet)
      controlBytes += packetBytes(packet)
    },
    ordered(packet) {
      reserve(packetBytes(packet))
      writePacket(fill, packet)
    },
    data(connectId, payload) {
      reserve(dataOverheadBytes(connectId, payload.length) + payload.length)
      writeData(fill, connectId, payload)
    },
    room: () => FILL_BYTES - (fill.at - AHEAD_BYTES),
    excessBytes: () => controlBytes + control.length * PACKET_BYTES + Math.max(0, fill.at - FULL_BYTES),
    take() {
      if (controlBytes > 0) return takeWithControl()
      if (fill.at === AHEAD_BYTES) return undefined
      const piece = fill.bytes.subarray(AHEAD_BYTES, fill.at)
      fill = { bytes: nothing, at: AHEAD_BYTES }
      return piece
    },
    giveBack(piece) {
      if (piece.buffer.byteLength > spare.length) spare = Buffer.from(piece.buffer)
    },
    shrink() {
      spare = nothing
    },
  }
}
