/** What the owner of a call of gRPC mode does for it, and can ask of it. */
import type { Connection, ConnectionEvents, Ending } from '../../tunnel/connection.ts'
import type { DialRequest } from '../../tunnel/dials.ts'
import type { Int64, Packet } from '../../tunnel/packet.ts'

export type CallViolation = 'unexpected' | 'unknown-connection' | 'unknown-dial' | 'duplicate-dial' | 'unknown-type'

export type DialOutcome = {
  readonly connected: (connection: Connection) => ConnectionEvents
  /** @param final whether the call is worth nothing any more */
  readonly failed: (text: string, final: boolean) => void
}

/** What the call does; its owner carries it out. */
export type CallActions = {
  /** Dials; one of the two outcomes follows, perhaps at once, unless the returned function cancels. */
  readonly dial: (request: DialRequest, outcome: DialOutcome) => () => void
  /** A dial that no agent is asked for. */
  readonly refused?: ((address: string, text: string) => void) | undefined
  /** To the client, behind the data before it. */
  readonly send: (packet: Packet) => void
  /** To the client. `written` is called, perhaps in pieces, with the bytes that have left. */
  readonly data: (connectId: Int64, bytes: Uint8Array, written: (bytes: number) => void) => void
  /** Whether to go on reading what the client sends. */
  readonly read: (on: boolean) => void
  /** Calls back when a client that has just been told of its connection has had the time to note it. */
  readonly noted: (callback: () => void) => void
  /** Calls back when the frame that is being handled is done with. */
  readonly later: (callback: () => void) => void
  readonly violation: (kind: CallViolation) => void
  /** A connection is there. @returns hears of its end, once */
  readonly opened: () => (ending: Ending) => void
  /** Something has ended; perhaps the call is no longer `busy`. */
  readonly settled: () => void
  /** A connection broke while the client leaves its bytes lie: the call is cut if they still `lie` there in a while. */
  readonly hurry: (lie: () => boolean) => void
  /** Cuts the call: bytes that have not left are given up. */
  readonly cut: () => void
}

export type ProxyCall = {
  readonly receive: (packet: Packet) => void
  readonly receiveData: (connectId: Int64, bytes: Uint8Array, first: boolean) => void
  /** The call is over: dials are cancelled, connections closed. @param broken nobody said so: it may have been cut anywhere */
  readonly ended: (broken: boolean) => void
  /** Whether a dial or a connection is under way, or bytes of one. */
  readonly busy: () => boolean
  /** New dials are refused from now on. */
  readonly drain: () => void
}
