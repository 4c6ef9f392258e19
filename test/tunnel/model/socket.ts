/**
 * A socket at one end of a tunnelled connection, as the model plays it: it gives the bytes of its own stream of the pattern,
 * in reads of any size, and takes the other stream's at its own speed. It checks what it hears.
 */
import { Buffer } from 'node:buffer'
import { READ_BYTES } from '../../../src/tunnel/carrier.ts'
import type { Connection, ConnectionEvents, Ending } from '../../../src/tunnel/connection.ts'
import { close } from '../../../src/tunnel/ending.ts'
import { taken } from '../../../src/tunnel/receiving.ts'
import { breakOff, end, leave, send } from '../../../src/tunnel/sending.ts'
import type { Random } from '../../platform/random.ts'
import { patternAt } from './pattern.ts'
import type { Step } from './step.ts'

export type Plan = {
  /** What it has to send; a story may add to it. */
  totalBytes: number
  /** Sends no end after its bytes, until the run winds up. */
  readonly endless: boolean
  readonly sink: 'fast' | 'slow' | 'stalled'
}

export type ModelSocket = {
  readonly name: string
  readonly plan: Plan
  connection: Connection | undefined
  sent: number
  reading: boolean
  sourceEnded: boolean
  received: number
  taken: number
  sinkEnded: boolean
  /** Takes nothing. */
  stalled: boolean
  windingUp: boolean
  ending: Ending | undefined
  /** The owner let go of what a finished connection had not taken. */
  gaveUp: boolean
  closedByOwner: boolean
  /** It sends nothing more, and drops what comes. */
  left: boolean
  /** It gives and takes nothing more; what it gave is still to arrive. */
  broken: boolean
  readonly events: ConnectionEvents
  /** What may happen next without anybody's fault. */
  readonly steps: (into: Step[]) => void
  /** Its owner has enough. */
  readonly cutOff: () => void
  readonly break: () => void
  /** The owner goes in good order. */
  readonly leave: () => void
}

export type SocketOptions = {
  readonly name: string
  /** Numbers of the two streams in the pattern. */
  readonly gives: number
  readonly takes: number
  readonly plan: Plan
  readonly random: Random
  readonly fail: (why: string) => never
  readonly over: (socket: ModelSocket) => void
}

/** As on both ends of the tunnel: all sockets are read into one buffer, which the next read overwrites. */
const readBuffer = Buffer.alloc(READ_BYTES)

export function createSocket(options: SocketOptions): ModelSocket {
  const { name, plan, random, fail } = options

  function alive(what: string): void {
    if (socket.ending) fail(`${name} heard ${what} after it was over`)
    if (socket.broken && what !== 'over') fail(`${name} heard ${what} after it had broken`)
  }

  const events: ConnectionEvents = {
    data(bytes) {
      alive('data')
      if (socket.sinkEnded) fail(`${name} heard data after the end`)
      if (bytes.length === 0 || bytes.length > READ_BYTES * 4) fail(`${name} heard ${bytes.length} bytes at once`)
      if (Buffer.compare(patternAt(options.takes, socket.received, bytes.length), bytes) !== 0) {
        fail(`${name} heard other bytes than were sent, at ${socket.received}`)
      }
      socket.received += bytes.length
      if (socket.left) take(bytes.length)
    },
    end() {
      alive('end')
      if (socket.sinkEnded) fail(`${name} heard the end twice`)
      socket.sinkEnded = true
    },
    resume() {
      alive('resume')
      if (socket.left) fail(`${name} heard resume after it had left`)
      if (socket.reading) fail(`${name} heard resume while it was reading`)
      socket.reading = true
    },
    pause() {
      alive('pause')
      if (!socket.reading) fail(`${name} heard pause while it was not reading`)
      socket.reading = false
    },
    over(ending) {
      alive('over')
      socket.ending = ending
      socket.reading = false
      options.over(socket)
    },
    giveUp() {
      if (!socket.ending || !mayTake(socket)) fail(`${name} was given up, though it takes nothing`)
      socket.gaveUp = true
    },
  }

  function read(): void {
    const left = plan.totalBytes - socket.sent
    const most = Math.min(left, random.pick([16, 4_096, READ_BYTES, READ_BYTES]))
    const count = random.chance(40) ? most : 1 + random.below(most)
    patternAt(options.gives, socket.sent, count).copy(readBuffer)
    socket.sent += count
    const goOn = send(socket.connection!, readBuffer.subarray(0, count))
    readBuffer.fill(0xa5, 0, count)
    if (!goOn) socket.reading = false
  }

  function endSource(): void {
    socket.sourceEnded = true
    end(socket.connection!)
  }

  function takeSome(): void {
    const waiting = socket.received - socket.taken
    const most = plan.sink === 'slow' ? Math.min(waiting, 2_000) : waiting
    take(random.chance(60) ? most : 1 + random.below(most))
  }

  function take(count: number): void {
    socket.taken += count
    taken(socket.connection!, count)
  }

  const overrunStep: Step = { name: `${name} reads once more`, weight: 0.2, run: read }
  const readStep: Step = { name: `${name} reads`, weight: 6, run: read }
  const endStep: Step = { name: `${name} ends`, weight: 2, run: endSource }
  const takeStep: Step = { name: `${name} takes`, weight: 6, run: takeSome }

  const socket: ModelSocket = {
    name,
    plan,
    connection: undefined,
    sent: 0,
    reading: true,
    sourceEnded: false,
    received: 0,
    taken: 0,
    sinkEnded: false,
    stalled: plan.sink === 'stalled',
    windingUp: false,
    ending: undefined,
    gaveUp: false,
    closedByOwner: false,
    left: false,
    broken: false,
    events,
    steps(into) {
      if (!socket.connection) return
      if (!socket.ending && !socket.sourceEnded) {
        if (socket.sent < plan.totalBytes) {
          if (socket.reading) into.push(readStep)
          else if (random.chance(2)) into.push(overrunStep) // a read that was under way when it was told to stop
        } else if (!plan.endless || socket.windingUp) into.push(endStep)
      }
      if (socket.received > socket.taken && !socket.stalled && mayTake(socket)) into.push(takeStep)
    },
    cutOff() {
      if (socket.ending) socket.gaveUp = true
      else socket.closedByOwner = true
      close(socket.connection!, 'owner')
    },
    break() {
      socket.broken = true
      socket.sourceEnded = true
      socket.reading = false
      breakOff(socket.connection!, 'ECONNRESET')
    },
    leave() {
      socket.left = true
      socket.sourceEnded = true
      socket.reading = false
      if (socket.received > socket.taken) take(socket.received - socket.taken)
      leave(socket.connection!)
    },
  }
  return socket
}

/** A socket that was reset writes nothing more; one that finished, or whose peer broke behind its last byte, still does. */
const mayTake = ({ ending, gaveUp, broken }: ModelSocket): boolean =>
  !broken && !gaveUp && (ending?.kind !== 'reset' || ending.inOrder === true)

/** Bytes that a session counts as waiting for this socket. */
export const backlogOf = (socket: ModelSocket): number => (mayTake(socket) ? socket.received - socket.taken : 0)

/** Bytes that it has given and the session holds, for want of room or credit. */
export const heldOf = ({ connection }: ModelSocket): number =>
  connection?.held.reduce((sum, { length }) => sum + length, 0) ?? 0
