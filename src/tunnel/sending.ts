/**
 * One connection's own bytes on their way to the peer: as far as credit and the room of the carrier go, the rest kept, and
 * the end behind the last of them. The owner of the socket calls with bytes; the scheduler when there is room again. Pure.
 * Source: docs/protocol.md sections 3, 4 and 5.
 */
import { Buffer } from 'node:buffer'
import { spendWithin } from './budget.ts'
import { givesWay, weigh } from './bulk.ts'
import { READ_BYTES } from './carrier.ts'
import { sayStockEnd } from './close-handshake.ts'
import { type Connection, countHeld, type Link, type Outlet } from './connection.ts'
import { close, closeViolator, dropBacklog, finish, tellReset } from './ending.ts'
import type { Need } from './scheduler.ts'
import { changeLane, steer } from './steering.ts'

/** Credit that no honest peer grants: far above the largest window. */
const MAX_CREDIT_BYTES = 2 ** 31
/** All pause when this part of the stream's budget is held for the peer, and again for each such step of it. */
const CROWD_PART = 4
const CROWD_STEPS = 64
/** Of why a socket broke, which is ASCII: characters. A lane takes no longer packet. */
const MAX_REASON_CHARS = 48

/**
 * Sends bytes of one read, at most READ_BYTES; those that find no room are copied and kept.
 *
 * @returns false: read no more until `resume`
 */
export function send(connection: Connection, bytes: Uint8Array): boolean {
  if (connection.over || connection.sending !== 'open') return false
  connection.activeMs = connection.link.nowMs
  connection.sentBytes += bytes.length
  weigh(connection, bytes.length)
  steer(connection)
  const sent = connection.held.length > 0 ? 0 : push(connection, bytes)
  if (connection.over) return false // a frame too many for a peer that does not read ends it, and all
  if (sent < bytes.length) hold(connection, bytes.subarray(sent))
  return !connection.over && mayRead(connection)
}

/** The owner sends no more bytes. */
export function end(connection: Connection): void {
  if (connection.over || connection.sending !== 'open') return
  connection.sending = 'ending'
  if (connection.held.length === 0) endSending(connection)
}

/**
 * The owner has closed in good order: what it sent still arrives, what comes for it is its own to drop until `over`.
 * A server's word: towards a stock agent it is what `end` is.
 */
export function leave(connection: Connection): void {
  if (connection.over || connection.sending === 'ended') return
  connection.activeMs = connection.link.nowMs
  if (connection.link.halfClose) connection.closing = 'after-sending'
  connection.sending = 'ending'
  if (connection.held.length === 0) endSending(connection)
}

/**
 * The owner's socket has broken. What was read of it before still goes out, and behind that the peer is told why; what comes
 * for it is dropped, in its turn: the peer's end may be behind it. A peer that has not taken all of it in a minute is told at once.
 */
export function breakOff(connection: Connection, reason: string): void {
  if (connection.over) return close(connection, reason)
  if (connection.broken !== undefined) return
  connection.broken = reason
  connection.activeMs = connection.link.nowMs
  connection.closing = 'after-sending'
  connection.receiving = 'ended'
  dropBacklog(connection)
  if (connection.sending === 'ended') return sayBroken(connection, reason, connection.home)
  connection.sending = 'ending'
  if (connection.held.length === 0) endSending(connection)
}

/** Sends what is held; for the scheduler. */
export function pump(connection: Connection): Need {
  if (connection.over || connection.sending === 'ended') return 'nothing'
  while (connection.held.length > 0) {
    const first = connection.held[0]!
    const sent = push(connection, first)
    if (connection.over) return 'nothing'
    countHeld(connection, -sent)
    if (sent < first.length) {
      connection.held[0] = first.subarray(sent)
      if (connection.credit > 0) return 'room'
      sayBlocked(connection)
      return 'nothing'
    }
    connection.held.shift()
  }
  if (connection.sending === 'ending') endSending(connection)
  else if (connection.credit <= 0) sayBlocked(connection)
  else if (connection.paused) return 'permit'
  return 'nothing'
}

/** Lets the owner read on; for the scheduler. */
export function permit(connection: Connection): void {
  connection.paused = false
  connection.events.resume()
}

/** The peer has room for more. */
export function receiveCredit(connection: Connection, credit: number): void {
  connection.peerKnows = true
  if (connection.broken === undefined) connection.activeMs = connection.link.nowMs
  const before = connection.credit
  connection.credit += credit
  if (credit <= 0 || connection.credit > MAX_CREDIT_BYTES) return closeViolator(connection)
  if (before > 0 || connection.credit <= 0) return
  connection.saidBlocked = false
  if (connection.held.length === 0 && !connection.paused) return
  connection.out.scheduler.wait(connection)
  connection.out.scheduler.deal()
}

/** In a crowd: its owner reads no more until it has its turn. */
export function pause(connection: Connection): void {
  if (connection.paused || connection.sending !== 'open' || !connection.events.pause) return
  connection.paused = true
  connection.events.pause()
  connection.out.scheduler.wait(connection)
}

function hold(connection: Connection, bytes: Uint8Array): void {
  connection.held.push(Buffer.from(bytes))
  countHeld(connection, bytes.length)
  if (isCrowded(connection.link)) pauseAll(connection.link)
  spendWithin(connection.link.budget, 0) // may end it
}

/**
 * Whoever has nothing to send may read when something comes. Thousands who all begin at once read far more than goes out,
 * and none of them is to be closed for that: when the rest of their reads is much, and again when it has grown by more, all
 * are sent back to the ring.
 */
function isCrowded({ budget, heldBytes, pausedAtBytes }: Link): boolean {
  if ((heldBytes - pausedAtBytes) * CROWD_STEPS < budget.limitBytes) return false
  const { parent } = budget
  const isTight = parent !== undefined && parent.usedBytes * 2 >= parent.limitBytes
  return isTight || heldBytes * CROWD_PART >= budget.limitBytes
}

function pauseAll(link: Link): void {
  link.pausedAtBytes = link.heldBytes
  link.pauseAll()
}

/** @returns how many of the bytes went out */
function push(connection: Connection, bytes: Uint8Array): number {
  if (connection.credit <= 0) return 0
  let sent = 0
  while (sent < bytes.length && !connection.over) {
    const { carrier } = connection.out
    const room = carrier.room()
    if (room <= 0) {
      if (sent < connection.credit && changeLane(connection)) continue
      break
    }
    const piece = sent === 0 && bytes.length <= room ? bytes : bytes.subarray(sent, sent + room)
    carrier.data(connection.id, piece)
    sent += piece.length
  }
  connection.credit -= sent
  return sent
}

/**
 * Asked before the first read. A crowd of new connections that each read once without it would hold all of that.
 *
 * @returns false: not before `resume`
 */
export function mayRead(connection: Connection): boolean {
  const { out } = connection
  if (connection.credit <= 0) {
    sayBlocked(connection)
    connection.paused = true
    return false
  }
  const ready = connection.held.length === 0 && !givesWay(connection)
  if (ready && (out.carrier.room() >= READ_BYTES || changeLane(connection))) return true
  if (connection.over) return false
  connection.paused = true
  out.scheduler.wait(connection)
  return false
}

function sayBlocked(connection: Connection): void {
  if (connection.saidBlocked) return
  connection.saidBlocked = true
  connection.home.carrier.control({ type: 'BLOCKED', connectId: connection.id })
}

function endSending(connection: Connection): void {
  connection.sending = 'ended'
  if (connection.broken !== undefined) return sayBroken(connection, connection.broken, connection.out)
  if (!connection.link.halfClose) return sayStockEnd(connection)
  const leaving = connection.closing === 'after-sending'
  connection.out.carrier.ordered({ type: 'END_OF_DATA', connectId: connection.id, close: leaving ? 1 : 0, reason: '' })
  if (leaving || connection.receiving === 'ended') finish(connection, { kind: 'finished' })
}

/** @param on where the data goes, so that it overtakes none; behind the end, where no lane that breaks can take it away */
function sayBroken(connection: Connection, reason: string, on: Outlet): void {
  const { id, link } = connection
  const text = reason.slice(0, MAX_REASON_CHARS)
  if (link.halfClose) on.carrier.ordered({ type: 'END_OF_DATA', connectId: id, close: 1, reason: text })
  else tellReset(connection, reason)
  finish(connection, { kind: 'reset', by: 'self', reason })
}
