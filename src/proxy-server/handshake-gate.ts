/**
 * Lets connections to the agent port begin their handshakes at a bounded rate: when a whole fleet comes back at once, those
 * who are in keep their heartbeats. Source: docs/protocol.md section 9.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import { tokenBucket } from '../platform/token-bucket.ts'

export type HandshakeGateOptions = {
  readonly perSecond: number
  /** Longest wait for a turn; longer and the peer has given up: milliseconds. */
  readonly waitMs: number
  readonly clock: Clock
  readonly admit: (socket: Socket) => void
  readonly turnedAway: (socket: Socket) => void
}

/** Returns a function that takes each accepted connection, unread. */
export function createHandshakeGate(options: HandshakeGateOptions): (socket: Socket) => void {
  const { perSecond, waitMs, clock, admit, turnedAway } = options
  const mostWaiting = Math.ceil((perSecond * waitMs) / 1000)
  const waiting = new Set<Socket>()
  const takeToken = tokenBucket(perSecond, 1000)
  let timer: Disposable | undefined

  function serve(): void {
    timer = undefined
    for (const socket of waiting) {
      if (!takeToken(clock.now())) break
      waiting.delete(socket)
      if (!socket.destroyed) admit(socket)
    }
    if (waiting.size > 0) timer = clock.after(Math.ceil(1000 / perSecond), serve)
  }

  return (socket) => {
    if (waiting.size >= mostWaiting) {
      turnedAway(socket)
      socket.destroy()
      return
    }
    waiting.add(socket)
    socket.once('close', () => waiting.delete(socket))
    if (!timer) serve()
  }
}
