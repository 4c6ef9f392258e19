/**
 * Lanes as they arrive at the agent port: each shows its token, of a fixed length and within a deadline, and is handed to the
 * stream that the token was given to. Source: docs/protocol.md section 10.
 */
import { Buffer } from 'node:buffer'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../platform/clock.ts'
import { HELLO_BYTES, readHello, refusal } from '../tunnel/lane.ts'
import type { LaneTokens } from './lane-tokens.ts'

/** How long one that is refused may take to read that and hang up: milliseconds. */
const REFUSAL_GRACE_MS = 1_000

export type LaneRefusal = 'slow' | 'no_hello' | 'unknown_token' | 'foreign_token'

export type LaneListenerDeps = {
  readonly tokens: LaneTokens
  readonly clock: Clock
  readonly helloTimeoutMs: number
  readonly refused: (why: LaneRefusal) => void
}

/** Owns the socket until a stream takes it over. @param principal whose certificate it showed */
export function takeLane(socket: TLSSocket, principal: string, deps: LaneListenerDeps): void {
  const { tokens, clock, helloTimeoutMs, refused } = deps
  let hello: Buffer = Buffer.alloc(0)
  const deadline = clock.after(helloTimeoutMs, () => {
    refused('slow')
    socket.destroy()
  })
  socket.once('close', () => deadline[Symbol.dispose]())
  socket.on('data', read)

  function read(chunk: Buffer): void {
    hello = Buffer.concat([hello, chunk])
    if (hello.length < HELLO_BYTES) return
    deadline[Symbol.dispose]()
    socket.off('data', read)
    socket.pause()
    const token = readHello(hello)
    if (!token) return refuse('no_hello')
    const join = tokens.take(token, principal)
    if (join === 'unknown') return refuse('unknown_token')
    if (join === 'foreign') return refuse('foreign_token')
    if (hello.length > HELLO_BYTES) socket.unshift(hello.subarray(HELLO_BYTES))
    join(socket)
    socket.resume()
  }

  /** Tells an honest agent that came to another server than the one of its stream; it tries again. */
  function refuse(why: LaneRefusal): void {
    refused(why)
    if (why === 'no_hello') return void socket.destroy()
    socket.resume() // what else it sends is dropped, or its end would not be seen
    socket.end(refusal)
    const patience = clock.after(REFUSAL_GRACE_MS, () => socket.destroy())
    socket.once('close', () => patience[Symbol.dispose]())
  }
}
