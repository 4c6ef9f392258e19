/**
 * One tunnelled connection: what it sends, what it receives, its credit both ways, its end. Pure: the owner of the socket
 * calls in with bytes and ends, frames go to carriers, and the owner hears through `ConnectionEvents`.
 * Source: docs/protocol.md sections 3, 5 and 10.
 */
import { Buffer } from 'node:buffer'
import { type Budget, release, reserve, spend, spendWithin } from './budget.ts'
import { type Carrier, READ_BYTES } from './carrier.ts'
import type { Int64, Packet } from './packet.ts'
import type { Need, Scheduler } from './scheduler.ts'
import { arrive, createWindow, grow, grownBy, shrink, take, type Window, wantedGrowth } from './window.ts'

/** Credit that no honest peer grants: far above the largest window. */
const MAX_CREDIT_BYTES = 2 ** 31
/** Frames kept while the MOVE that announces them is still under way on another carrier. Their bytes are bounded by credit. */
const MAX_EARLY_FRAMES = 16_384

export type Ending =
  | { readonly kind: 'finished' } // both directions ended, nothing was lost
  | { readonly kind: 'reset'; readonly by: 'peer' | 'self' | 'tunnel'; readonly reason: string }

/** What the owner of a connection hears. Nothing but `giveUp` is called after `over`. */
export type ConnectionEvents = {
  /** Bytes from the peer. The owner calls `taken` when its socket has them. */
  readonly data: (bytes: Uint8Array) => void
  /** The peer sends no more bytes. */
  readonly end: () => void
  /** `send` gave false before; now there is room and credit to read on. */
  readonly resume: () => void
  /** Exactly once. After `finished`, bytes that the socket has not taken yet are still the owner's to write. */
  readonly over: (ending: Ending) => void
  /** Too much waits in all: what the socket of this finished connection has not taken is given up. */
  readonly giveUp: () => void
}

/** A carrier with the ring of those who wait for its room. */
export type Outlet = { readonly carrier: Carrier; readonly scheduler: Scheduler<Connection> }

/** What all connections of a session share. */
export type Link = {
  readonly role: 'server' | 'agent'
  readonly flowControl: boolean
  readonly halfClose: boolean
  readonly closeReason: boolean
  readonly budget: Budget
  /** The clock as the session last heard it: milliseconds. */
  nowMs: number
  maxWindowBytes: number
  /** Takes the connection out of the tables. */
  readonly forget: (connection: Connection) => void
  /** What waits for this connection's socket has changed, also after its end; `took` bytes were taken. */
  readonly backlogChanged: (connection: Connection, took: number) => void
}

type Early =
  | { readonly from: Outlet; readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly from: Outlet; readonly kind: 'end'; readonly close: boolean }
  | { readonly from: Outlet; readonly kind: 'move'; readonly to: Outlet }

export type Connection = {
  readonly id: Int64
  readonly link: Link
  events: ConnectionEvents
  /** Where its dial went, and where its control frames go. */
  readonly home: Outlet
  /** Where its data goes, and where the peer's comes from. */
  out: Outlet
  in: Outlet
  sending: 'open' | 'ending' | 'ended' // ending: what is held goes first
  /** Bytes it may send; Infinity without flow control. */
  credit: number
  held: Uint8Array[]
  /** The owner was told to stop reading. */
  paused: boolean
  saidBlocked: boolean
  /** In whose ring it stands. */
  queuedOn: Carrier | undefined
  receiving: 'open' | 'ended'
  window: Window
  /** Bytes handed to the owner and not taken yet. */
  backlog: number
  /** When the socket last took bytes, or last had nothing to take. */
  tookMs: number
  early: Early[]
  /** The peer has sent something about this connection, so it knows its id. */
  peerKnows: boolean
  /** What its end still waits for: held bytes of an owner that is gone, or one half of a stock close handshake. */
  closing: 'none' | 'after-sending' | 'waits-for-peer' | 'waits-for-socket'
  activeMs: number
  over: boolean
}

export function createConnection(id: Int64, link: Link, home: Outlet, events: ConnectionEvents): Connection {
  return {
    id,
    link,
    events,
    home,
    out: home,
    in: home,
    sending: 'open',
    credit: link.flowControl ? createWindow().size : Number.POSITIVE_INFINITY,
    held: [],
    paused: false,
    saidBlocked: false,
    queuedOn: undefined,
    receiving: 'open',
    window: createWindow(),
    backlog: 0,
    tookMs: link.nowMs,
    early: [],
    peerKnows: link.role === 'server',
    closing: 'none',
    activeMs: link.nowMs,
    over: false,
  }
}

/**
 * Sends bytes of one read, at most READ_BYTES; those that find no room are copied and kept.
 *
 * @returns false: read no more until `resume`
 */
export function send(connection: Connection, bytes: Uint8Array): boolean {
  if (connection.over || connection.sending !== 'open') return false
  connection.activeMs = connection.link.nowMs
  const sent = connection.held.length > 0 ? 0 : push(connection, bytes)
  if (sent < bytes.length) connection.held.push(Buffer.from(bytes.subarray(sent)))
  return mayRead(connection)
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

/** Breaks the connection; bytes under way may be lost. Also gives up what a finished connection has not taken. */
export function close(connection: Connection, reason: string): void {
  if (connection.over) return dropBacklog(connection)
  tellReset(connection, reason)
  finish(connection, { kind: 'reset', by: 'self', reason })
}

/** The socket has taken bytes: the write callback, not the arrival. */
export function taken(connection: Connection, bytes: number): void {
  const { link } = connection
  const count = Math.min(bytes, connection.backlog)
  connection.backlog -= count
  connection.tookMs = link.nowMs
  spend(link.budget, -count)
  if (connection.over || !link.flowControl) link.backlogChanged(connection, count)
  if (connection.over) return
  receiverActive(connection)
  if (link.flowControl && connection.receiving === 'open') grant(connection, take(connection.window, count))
  if (connection.closing === 'waits-for-socket' && connection.backlog === 0) answerClose(connection)
}

/** Sends the data that follows over another carrier. Refused until the peer is known to know the connection. */
export function move(connection: Connection, to: Outlet): boolean {
  if (connection.over || connection.sending === 'ended' || !connection.peerKnows || connection.out === to) return false
  connection.out.carrier.ordered({ type: 'MOVE', connectId: connection.id, carrier: to.carrier.index })
  connection.out = to
  if (connection.paused || connection.held.length > 0) to.scheduler.wait(connection)
  return true
}

/** Sends what is held; for the scheduler. */
export function pump(connection: Connection): Need {
  if (connection.over || connection.sending === 'ended') return 'nothing'
  while (connection.held.length > 0) {
    const first = connection.held[0]!
    const sent = push(connection, first)
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

export function receiveData(connection: Connection, from: Outlet, bytes: Uint8Array): void {
  connection.peerKnows = true
  if (connection.receiving === 'ended') return
  if (connection.link.flowControl && !arrive(connection.window, bytes.length)) return refuse(connection)
  if (from === connection.in) deliver(connection, bytes)
  else keepEarly(connection, { from, kind: 'data', bytes })
}

/** @param close the peer wants no more bytes either: what it sent is written out, and that is all */
export function receiveEnd(connection: Connection, from: Outlet, close: boolean): void {
  connection.peerKnows = true
  if (from !== connection.in) return keepEarly(connection, { from, kind: 'end', close })
  endReceiving(connection)
  if ((close || connection.sending === 'ended') && !connection.over) finish(connection, { kind: 'finished' })
}

export function receiveMove(connection: Connection, from: Outlet, to: Outlet): void {
  connection.peerKnows = true
  if (from !== connection.in) return keepEarly(connection, { from, kind: 'move', to })
  connection.in = to
  for (let next = takeEarly(connection); next && !connection.over; next = takeEarly(connection)) {
    if (next.kind === 'data') deliver(connection, next.bytes)
    else if (next.kind === 'move') connection.in = next.to
    else return receiveEnd(connection, next.from, next.close)
  }
}

export function receiveCredit(connection: Connection, credit: number): void {
  connection.peerKnows = true
  connection.activeMs = connection.link.nowMs
  const before = connection.credit
  connection.credit += credit
  if (credit <= 0 || connection.credit > MAX_CREDIT_BYTES) return refuse(connection)
  if (before > 0 || connection.credit <= 0) return
  connection.saidBlocked = false
  if (connection.held.length === 0 && !connection.paused) return
  connection.out.scheduler.wait(connection)
  connection.out.scheduler.deal()
}

export function receiveBlocked(connection: Connection): void {
  connection.peerKnows = true
  const { link } = connection
  if (connection.receiving === 'ended') return
  const growth = wantedGrowth(connection.window, connection.backlog, link.maxWindowBytes)
  if (growth > 0 && reserve(link.budget, growth)) grant(connection, grow(connection.window, growth))
}

/**
 * CLOSE_REQ or CLOSE_RSP. Between our own ends it always means a reset. With a stock peer CLOSE_REQ asks the agent to write
 * out what it has and answer; CLOSE_RSP ends the connection on the server.
 */
export function receiveClose(connection: Connection, type: 'CLOSE_REQ' | 'CLOSE_RSP', reason: string): void {
  if (connection.link.halfClose || reason !== '') {
    return finish(connection, { kind: 'reset', by: 'peer', reason: reason === '' ? 'closed-by-peer' : reason })
  }
  endReceiving(connection)
  if (connection.over) return
  if (type === 'CLOSE_RSP') return finish(connection, { kind: 'finished' })
  connection.closing = 'waits-for-socket'
  if (connection.backlog === 0) answerClose(connection)
}

/** Whether frames of this connection go over the outlet, came over it, or are announced to come over it. */
export function uses({ home, out, in: incoming, early }: Connection, outlet: Outlet): boolean {
  if (home === outlet || out === outlet || incoming === outlet) return true
  return early.some((frame) => frame.from === outlet || (frame.kind === 'move' && frame.to === outlet))
}

/** The way to the peer is gone. */
export function lose(connection: Connection, reason: string): void {
  finish(connection, { kind: 'reset', by: 'tunnel', reason })
}

/** Takes a grown window back to its first size, for a connection that does not use it. */
export function shrinkWindow({ window, link }: Connection): void {
  release(link.budget, grownBy(window))
  shrink(window)
}

/** Tells the peer of a reset, over the first carrier that is still there. */
export function tellReset(connection: Connection, reason: string, via: Outlet = connection.home): void {
  const { role, closeReason } = connection.link
  const text = closeReason ? reason : ''
  via.carrier.ordered(
    role === 'server'
      ? { type: 'CLOSE_REQ', connectId: connection.id, reason: text }
      : { type: 'CLOSE_RSP', connectId: connection.id, error: text },
  )
}

/** @returns how many of the bytes went out */
function push(connection: Connection, bytes: Uint8Array): number {
  if (connection.credit <= 0) return 0
  const { carrier } = connection.out
  let sent = 0
  while (sent < bytes.length) {
    const room = carrier.room()
    if (room <= 0) break
    const piece = sent === 0 && bytes.length <= room ? bytes : bytes.subarray(sent, sent + room)
    carrier.data(connection.id, piece)
    sent += piece.length
  }
  connection.credit -= sent
  return sent
}

function mayRead(connection: Connection): boolean {
  const { link, out } = connection
  if (connection.credit <= 0) {
    sayBlocked(connection)
    connection.paused = true
    return false
  }
  // Towards a stock peer a chunk must have left before the next is read: its receive loop may be held up by one target.
  if (link.flowControl && connection.held.length === 0 && out.carrier.room() >= READ_BYTES) return true
  connection.paused = true
  out.scheduler.wait(connection)
  return false
}

function sayBlocked(connection: Connection): void {
  if (connection.saidBlocked) return
  connection.saidBlocked = true
  control(connection, { type: 'BLOCKED', connectId: connection.id })
}

function endSending(connection: Connection): void {
  const { link, id, out } = connection
  connection.sending = 'ended'
  if (link.halfClose) {
    const leaving = connection.closing === 'after-sending'
    out.carrier.ordered({ type: 'END_OF_DATA', connectId: id, close: leaving ? 1 : 0 })
    if (leaving || connection.receiving === 'ended') finish(connection, { kind: 'finished' })
  } else if (link.role === 'agent') answerClose(connection)
  else {
    out.carrier.ordered({ type: 'CLOSE_REQ', connectId: id, reason: '' }, 'last-data')
    connection.closing = 'waits-for-peer'
  }
}

function answerClose(connection: Connection): void {
  connection.home.carrier.ordered({ type: 'CLOSE_RSP', connectId: connection.id, error: '' })
  finish(connection, { kind: 'finished' })
}

function endReceiving(connection: Connection): void {
  if (connection.receiving === 'ended') return
  connection.receiving = 'ended'
  connection.events.end()
}

function deliver(connection: Connection, bytes: Uint8Array): void {
  const { link } = connection
  receiverActive(connection)
  if (connection.backlog === 0) connection.tookMs = link.nowMs
  connection.backlog += bytes.length
  connection.events.data(bytes)
  if (!link.flowControl) link.backlogChanged(connection, 0)
  spendWithin(link.budget, bytes.length)
}

/** Of an owner that has left, only what it still wants to send tells whether the peer goes on. */
function receiverActive(connection: Connection): void {
  if (connection.closing !== 'after-sending') connection.activeMs = connection.link.nowMs
}

function grant(connection: Connection, credit: number): void {
  if (credit > 0) control(connection, { type: 'WINDOW_UPDATE', connectId: connection.id, credit })
}

const control = (connection: Connection, packet: Packet): void => connection.home.carrier.control(packet)

function keepEarly(connection: Connection, frame: Early): void {
  connection.early.push(frame)
  if (connection.early.length > MAX_EARLY_FRAMES) refuse(connection)
}

/** The next of the kept frames that is due, in order. */
function takeEarly(connection: Connection): Early | undefined {
  const index = connection.early.findIndex(({ from }) => from === connection.in)
  return index < 0 ? undefined : connection.early.splice(index, 1)[0]
}

/** The peer broke the rules of credit or of moves: only this connection pays. */
const refuse = (connection: Connection): void => close(connection, 'flow-control-violation')

function finish(connection: Connection, ending: Ending): void {
  if (connection.over) return
  connection.over = true
  shrinkWindow(connection)
  connection.held = []
  connection.early = []
  if (ending.kind === 'reset') dropBacklog(connection)
  connection.link.forget(connection)
  connection.events.over(ending)
}

function dropBacklog(connection: Connection): void {
  const { link, backlog } = connection
  connection.backlog = 0
  spend(link.budget, -backlog)
  link.backlogChanged(connection, 0)
}
