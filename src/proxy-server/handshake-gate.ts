/**
 * Lets connections to the agent port begin their handshakes at a bounded rate: when a whole fleet comes back at once, those
 * who are in keep their heartbeats. Where many wait, sources take turns. Source: docs/protocol.md section 9, docs/adr/0034.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import { sourceOf } from '../platform/ip-address.ts'
import { tokenBucket } from '../platform/token-bucket.ts'
import { createFairQueue } from './core/fair-queue.ts'
import { addressOf } from './source.ts'

/**
 * Longest wait for a turn: milliseconds. An agent of ours asks once more beside an attempt that has had no answer for 3 s; who is turned
 * away before that comes back spread out, and has no second place here.
 */
export const LONGEST_WAIT_MS = 2_500

/** That begin in one turn of the event loop, in which nobody else is served: each costs a millisecond or two. */
export const MOST_AT_ONCE = 10

export type HandshakeGateOptions = {
  readonly perSecond: number
  /** Longest wait for a turn, if it is less than the longest of all: milliseconds. */
  readonly waitMs: number
  readonly clock: Clock
  readonly admit: (socket: Socket) => void
  readonly turnedAway: (socket: Socket) => void
}

type Waiting = { readonly socket: Socket; readonly sinceMs: number }

/** Returns a function that takes each accepted connection, unread. */
export function createHandshakeGate(options: HandshakeGateOptions): (socket: Socket) => void {
  const { perSecond, clock, admit, turnedAway } = options
  const atOnce = Math.min(perSecond, MOST_AT_ONCE)
  const waitMs = Math.min(options.waitMs, LONGEST_WAIT_MS)
  const isLate = ({ sinceMs }: Waiting): boolean => clock.now() - sinceMs > waitMs
  const queue = createFairQueue<Waiting>(Math.ceil((perSecond * waitMs) / 1000), isLate)
  const takeToken = tokenBucket(atOnce, (1000 * atOnce) / perSecond)
  let timer: Disposable | undefined

  function turnAway({ socket }: Waiting): void {
    turnedAway(socket)
    socket.destroy()
  }

  /** The peer of one that has waited for too long may have given up, which an unread connection does not show. */
  function nextInTime(): Socket | undefined {
    for (let next = queue.take(); next; next = queue.take()) {
      if (next.socket.destroyed) continue
      if (!isLate(next)) return next.socket
      turnAway(next)
    }
    return undefined
  }

  function serve(): void {
    timer = undefined
    while (queue.size() > 0 && takeToken(clock.now())) {
      const socket = nextInTime()
      if (socket) admit(socket)
    }
    if (queue.size() > 0) timer = clock.after(Math.ceil(1000 / perSecond), serve)
  }

  return (socket) => {
    socket.on('error', nothing) // for good: a worker's is read from as it comes, and hears of a reset while it waits
    const source = sourceOf(addressOf(socket) ?? '')
    const waiting = { socket, sinceMs: clock.now() }
    const over = queue.add(waiting, source)
    if (over) turnAway(over)
    if (over !== waiting) socket.once('close', () => queue.delete(waiting, source))
    if (!timer) serve()
  }
}

const nothing = (): void => {}
