/**
 * What stands between two sessions in one direction, in memory. Both kinds keep the order that the real carrier keeps:
 * control frames stand in front of the data that waits at the sender, everything else stays in order.
 */

import { Buffer } from 'node:buffer'
import type { FrameSink } from '../../../src/tunnel/framing.ts'
import { createOutbox } from '../../../src/tunnel/outbox.ts'
import type { Int64, Packet } from '../../../src/tunnel/packet.ts'
import type { Random } from '../../platform/random.ts'
import type { Codec } from './codecs.ts'

export type Transport = {
  readonly control: (packet: Packet) => void
  readonly ordered: (packet: Packet) => void
  readonly data: (connectId: Int64, payload: Uint8Array) => void
  readonly room: () => number
  /** Begins to write all that waits. @returns false when there is nothing */
  readonly take: () => boolean
  /** What was taken has been written. */
  readonly written: () => void
  /** Whether something is under way to the receiver. */
  readonly underWay: () => boolean
  /** Brings some of it to the receiver. */
  readonly deliver: () => void
  /** The connection broke: of what is under way, only a part still arrives. */
  readonly cut: () => void
}

type Frame =
  | { readonly kind: 'packet'; readonly packet: Packet }
  | { readonly kind: 'data'; readonly connectId: Int64; readonly bytes: Uint8Array }

/** Frames as objects: fast, and one by one, for exhaustive interleavings (`random` undefined). */
export function frameTransport(fillBytes: number, sink: FrameSink, random: Random | undefined): Transport {
  let ahead: Frame[] = []
  let behind: Frame[] = []
  let waitingBytes = 0
  let wire: Frame[] = []

  function bring(frame: Frame): void {
    if (frame.kind === 'packet') return sink.packet(frame.packet)
    const cut = random?.chance(25) ? random.below(frame.bytes.length + 1) : frame.bytes.length
    sink.data(frame.connectId, frame.bytes.subarray(0, cut), true)
    if (cut < frame.bytes.length) sink.data(frame.connectId, frame.bytes.subarray(cut), false)
  }

  return {
    control: (packet) => void ahead.push({ kind: 'packet', packet }),
    ordered: (packet) => void behind.push({ kind: 'packet', packet }),
    data(connectId, payload) {
      waitingBytes += payload.length
      behind.push({ kind: 'data', connectId, bytes: Buffer.from(payload) })
    },
    room: () => fillBytes - waitingBytes,
    take() {
      if (ahead.length + behind.length === 0) return false
      wire.push(...ahead, ...behind)
      ahead = []
      behind = []
      waitingBytes = 0
      return true
    },
    written() {},
    underWay: () => wire.length > 0,
    deliver() {
      const count = random ? 1 + random.below(8) : 1
      for (const frame of wire.splice(0, count)) bring(frame)
    },
    cut() {
      wire = wire.slice(0, random ? random.below(wire.length + 1) : 0)
    },
  }
}

/** Real bytes, as the carrier writes and reads them, split anywhere. */
export function byteTransport({ framing, decoder }: Codec, sink: FrameSink, random: Random): Transport {
  const outbox = createOutbox(framing)
  const decode = decoder(sink)
  let piece: Buffer | undefined
  let wire: Buffer[] = []

  return {
    control: outbox.control,
    ordered: outbox.ordered,
    data: outbox.data,
    room: outbox.room,
    take() {
      piece = outbox.take()
      return piece !== undefined
    },
    written() {
      if (!piece) return
      wire.push(Buffer.from(piece)) // as late as can be: a piece that was used again too early shows
      outbox.giveBack(piece)
      if (random.chance(5)) outbox.shrink()
      piece = undefined
    },
    underWay: () => wire.length > 0,
    deliver() {
      const first = wire.shift()!
      const length = random.chance(50) ? first.length : 1 + random.below(first.length)
      if (length < first.length) wire.unshift(first.subarray(length))
      decode(first.subarray(0, length))
    },
    cut() {
      wire = wire.slice(0, random.below(wire.length + 1))
    },
  }
}
