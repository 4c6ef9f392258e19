/**
 * Notices that a client has gone while nothing is read from it, because its target takes nothing: Node listens for nothing
 * then, neither for a reset nor for a keepalive that found nobody. An empty write sends nothing and fails when the kernel knows.
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'

/** Between two looks: milliseconds. The kernel finds out within 13 s that a machine is gone (`platform/keep-alive.ts`). */
const LOOK_MS = 2_000
const nothing = Buffer.alloc(0)

/** Disposing it looks no more. */
export type VanishedCheck = Disposable & {
  /** The socket has paused: looks again and again, until it is read. */
  readonly paused: () => void
}

/**
 * Breaks the socket, with an error, when its client has gone. A write that is under way fails by itself; and behind one of TLS,
 * Node takes an empty one of the connection under it for its own next, and what it writes then is not what it should be.
 *
 * @param raw what carries the socket: itself, or the connection under its TLS, whose own empty writes report nothing
 */
export function createVanishedCheck(socket: Socket, raw: Socket, clock: Clock): VanishedCheck {
  let timer: Disposable | undefined // one at most, however often the socket pauses

  function look(): void {
    timer = undefined
    if (!socket.isPaused() || socket.destroyed || socket.writableEnded) return // after our end no write can ask
    if (socket.writableLength === 0) raw.write(nothing)
    lookLater()
  }

  function lookLater(): void {
    timer ??= clock.after(LOOK_MS, look)
  }

  return { paused: lookLater, [Symbol.dispose]: () => timer?.[Symbol.dispose]() }
}
