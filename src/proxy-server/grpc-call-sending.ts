/** What leaves for the client of a call of gRPC mode: packets and data, piece by piece, whenever the call has its turn. */
import type { ServerHttp2Stream } from 'node:http2'
import type { Clock } from '../platform/clock.ts'
import type { Int64, Packet } from '../tunnel/packet.ts'
import { createCallOutbox } from './core/call-outbox.ts'
import type { Turns } from './core/turns.ts'
import type { ServerMetrics } from './metrics.ts'

export type CallSendingDeps = {
  readonly clock: Clock
  readonly metrics: Pick<ServerMetrics, 'bytes' | 'frontendPackets' | 'frontendWrote'>
  /** Of the HTTP/2 connection. */
  readonly turns: Turns
  /** `packetBytes` has changed, or may have. */
  readonly changed: () => void
}

export type CallSending = {
  readonly packet: (packet: Packet) => void
  /** Not copied yet. @param left is told, perhaps in pieces, how many of the bytes have left or never will */
  readonly data: (id: Int64, bytes: Uint8Array, left: (bytes: number) => void) => void
  /** Bytes of packets besides data that have not left. */
  readonly packetBytes: () => number
  /** Ends the stream when all has left. */
  readonly end: () => void
  /** The stream is closed. */
  readonly close: () => void
}

export function createCallSending(
  stream: ServerHttp2Stream,
  { clock, metrics, turns, changed }: CallSendingDeps,
): CallSending {
  const count = metrics.frontendPackets.sent
  const outbox = createCallOutbox()
  const turn = turns.join(hand)
  let wantAhead = false // a turn is already asked for, at the end of this one of the event loop
  let isEnding = false

  function hand(mostBytes: number): number {
    const piece = stream.writable ? outbox.take(mostBytes) : undefined
    if (!piece) return 0
    count.DATA += piece.dataMessages
    const startMs = clock.now()
    stream.write(piece.bytes, (error) => {
      if (!error && piece.dataMessages > 0) metrics.frontendWrote(clock.now() - startMs)
      piece.left() // also when the stream has closed meanwhile
      changed()
      turn.left()
      if (!outbox.isEmpty()) turn.want()
      else if (isEnding) stream.end()
    })
    return piece.bytes.length
  }

  function wantTurn(): void {
    wantAhead = false
    if (!outbox.isEmpty()) turn.want()
  }

  return {
    packet(packet) {
      count[packet.type]++
      outbox.packet(packet)
      changed()
      turn.want()
    },
    /** All bytes of a connection that come in one turn of the event loop leave in one message. */
    data(id, bytes, left) {
      metrics.bytes.toSockets += bytes.length
      outbox.data(id, bytes, left)
      if (wantAhead) return
      wantAhead = true
      setImmediate(wantTurn)
    },
    packetBytes: outbox.packetBytes,
    end() {
      isEnding = true
      if (outbox.isEmpty()) stream.end()
    },
    close() {
      isEnding = false
      outbox.drop()
      changed()
      turn.leave()
    },
  }
}
