/**
 * What the session knows of a carrier: something that takes frames and brings them to the other end, in order.
 * The gRPC stream is the first; with a stock peer it is the only one. A carrier never decides anything.
 */
import type { Int64, Packet } from './packet.ts'

/** Largest read of a socket, and so the largest overdraft of a credit window: bytes. Source: docs/protocol.md section 3. */
export const READ_BYTES = 128 * 1024

export type Carrier = {
  /** Names the carrier in MOVE; 0 is the gRPC stream. */
  readonly index: number
  /** A frame that goes before all data not yet handed to the transport: dials, credit, heartbeats. Never refused. */
  readonly control: (packet: Packet) => void
  /**
   * A frame that stays behind the data before it: END_OF_DATA, CLOSE_REQ, CLOSE_RSP, MOVE. Never refused.
   *
   * @param behind a close that is no reset: the peer may need time for the connection's last data
   */
  readonly ordered: (packet: Packet, behind?: 'last-data') => void
  /** Copies the payload; at most `room()` bytes. */
  readonly data: (connectId: Int64, payload: Uint8Array) => void
  /** Bytes of payload that it takes now. */
  readonly room: () => number
  /** Asks for one `session.writable(carrier)`, at the end of this turn or when a write has left, whichever is later. */
  readonly wake: () => void
  /** Asks for one `session.alarm` after so many milliseconds. */
  readonly alarm: (ms: number) => void
  /** Stops or resumes bringing frames: back-pressure towards peers without credit. */
  readonly read: (on: boolean) => void
}
