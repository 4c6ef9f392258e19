/**
 * Joins a client and its backend until both directions have ended: bytes at the pace of who takes them, half close in both
 * directions, and a broken side breaks the other. A side that is not read is looked at, because Node listens for nothing then:
 * an empty write sends nothing, and fails when the kernel knows that the peer has gone.
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { reset } from '../tunnel/endpoint.ts'
import type { Limits } from './core/config.ts'
import { forwardTo, type Read } from './forwarding.ts'

/** In order; broken by a side; silent for too long, with both sides open or with one ended; by our own end. */
export type SpliceEnd = 'finished' | 'reset' | 'idle' | 'half-closed' | 'shutdown'
export type Bytes = { fromClients: number; toClients: number }

export type Splice = {
  /** What a backend sent that has no 'data'. */
  readonly received: Read
  /** Looks whether both are still there, and whether something moves. To be called every few seconds. */
  readonly look: (nowMs: number, limits: Pick<Limits, 'idleTimeoutMs' | 'halfClosedTimeoutMs'>) => void
  readonly breakOff: (how: SpliceEnd) => void
}

/** @param over both are closed */
export function splice(
  client: Socket,
  backend: Socket,
  bytes: Bytes,
  nowMs: number,
  over: (how: SpliceEnd) => void,
): Splice {
  let how: SpliceEnd = 'finished'
  let open = 2
  let moved = 0
  let seen = 0
  let movedMs = nowMs

  function breakOff(why: SpliceEnd): void {
    if (how === 'finished') how = why
    reset(client)
    reset(backend)
  }

  /** @returns what passes bytes on */
  function join(from: Socket, to: Socket, direction: keyof Bytes, write: Read): Read {
    const pass = (chunk: Buffer): void => {
      bytes[direction] += chunk.length
      moved += chunk.length
      write(chunk)
      if (to.writableLength >= to.writableHighWaterMark) from.pause()
    }
    from.on('data', pass)
    to.on('drain', () => from.resume())
    from.on('end', () => to.end())
    from.on('error', () => breakOff('reset'))
    from.on('close', () => {
      if (!(from.readableEnded && from.writableFinished)) breakOff('reset')
      if (--open === 0) over(how)
    })
    if (to.writableLength < to.writableHighWaterMark) from.resume()
    else from.pause()
    return pass
  }

  const { write, drained } = forwardTo(client)
  client.on('drain', drained)
  join(client, backend, 'fromClients', (chunk) => void backend.write(chunk))
  const received = join(backend, client, 'toClients', write)
  return {
    received,
    breakOff,
    look(now, { idleTimeoutMs, halfClosedTimeoutMs }) {
      if (moved !== seen) {
        seen = moved
        movedMs = now
      }
      const stillMs = now - movedMs
      const isHalfClosed = client.readableEnded || backend.readableEnded
      if (isHalfClosed && stillMs >= halfClosedTimeoutMs) return breakOff('half-closed')
      if (idleTimeoutMs > 0 && stillMs >= idleTimeoutMs) return breakOff('idle')
      for (const socket of [client, backend]) askIfThere(socket)
    },
  }
}

/** A socket that is not read: it breaks if the kernel knows that the peer has gone. */
export function askIfThere(socket: Socket): void {
  if (isDeaf(socket)) socket.write(nothing)
}

/** Not read, with nothing under way that would fail; after our own end no write can ask, and the deadline of that counts. */
const isDeaf = (socket: Socket): boolean =>
  (socket.isPaused() || socket.readableEnded) &&
  !socket.destroyed &&
  !socket.writableEnded &&
  socket.writableLength === 0

const nothing = Buffer.alloc(0)
