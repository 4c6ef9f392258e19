/** How a carrier writes packets into its bytes: as gRPC messages on the first one, as short frames on the lanes. */
import type { Int64, Packet } from './packet.ts'
import type { Writer } from './wire-write.ts'

export type Framing = {
  /** Bytes that the packet takes. */
  readonly packetBytes: (packet: Packet) => number
  readonly writePacket: (writer: Writer, packet: Packet) => void
  /** Bytes that stand before the payload of a DATA packet. */
  readonly dataOverheadBytes: (connectId: Int64, length: number) => number
  /** Writes a DATA packet with its payload, copying it. */
  readonly writeData: (writer: Writer, connectId: Int64, payload: Uint8Array) => void
}

/** What arrives, in order. */
export type FrameSink = {
  /** Every packet but DATA. */
  readonly packet: (packet: Packet) => void
  /** Some or all of the payload of a DATA packet, the `first` piece or a later one: a view of the chunk that was fed in. */
  readonly data: (connectId: Int64, payload: Uint8Array, first: boolean) => void
  /** How many bytes are kept of a packet that is not complete, whenever that changes. */
  readonly held?: (bytes: number) => void
}
