/**
 * The peer's bytes on their way to one connection's socket: held against the credit that was granted, put in order where they
 * come over two carriers, handed to the owner, and granted again when the socket has them. Pure.
 * Source: docs/protocol.md sections 3, 5 and 10.
 */
import { reserve, spend, spendWithin } from './budget.ts'
import { answerStockClose } from './close-handshake.ts'
import type { Connection, Outlet } from './connection.ts'
import { createEarlyFrames, type EarlyFrame, earlyCost, keepEarly, takeEarly } from './early-frames.ts'
import { close, closeViolator, dropEarly, endReceiving, finish } from './ending.ts'
import { lookAtWindow } from './steering.ts'
import { compact } from './waiting-payloads.ts'
import { arrive, grow, take, wantedGrowth } from './window.ts'

export function receiveData(connection: Connection, from: Outlet, bytes: Uint8Array): void {
  connection.peerKnows = true
  if (connection.receiving === 'ended') return
  if (connection.link.flowControl && !arrive(connection.window, bytes.length)) return closeViolator(connection)
  if (from === connection.in) deliver(connection, bytes)
  else keep(connection, { from, kind: 'data', bytes: compact(bytes) })
}

/**
 * @param close the peer wants no more bytes either: what it sent is written out, and that is all
 * @param reason with `close`: why the peer's socket broke behind the last byte; empty if it did not
 */
export function receiveEnd(connection: Connection, from: Outlet, close: boolean, reason: string): void {
  connection.peerKnows = true
  const { broken } = connection
  if (broken !== undefined) return close ? finish(connection, { kind: 'reset', by: 'self', reason: broken }) : undefined
  if (from !== connection.in && connection.receiving === 'open') {
    return keep(connection, { from, kind: 'end', close, reason })
  }
  if (close && reason !== '') return finish(connection, { kind: 'reset', by: 'peer', reason, inOrder: true })
  endReceiving(connection)
  const overtook = connection.early && takeEarly(connection.early, connection.home)
  dropEarly(connection) // an honest peer says nothing behind its end but that its socket broke
  if (overtook?.kind === 'end' && overtook.close && overtook.reason !== '' && !connection.over) {
    return finish(connection, { kind: 'reset', by: 'peer', reason: overtook.reason, inOrder: true })
  }
  if ((close || connection.sending === 'ended') && !connection.over) finish(connection, { kind: 'finished' })
}

export function receiveMove(connection: Connection, from: Outlet, to: Outlet): void {
  connection.peerKnows = true
  if (from !== connection.in) return keep(connection, { from, kind: 'move', to })
  connection.in = to
  while (!connection.over) {
    const next = connection.early && takeEarly(connection.early, connection.in)
    if (!next) return checkCarrier(connection)
    countEarly(connection, -earlyCost(next))
    if (next.kind === 'data') deliver(connection, next.bytes)
    else if (next.kind === 'move') connection.in = next.to
    else return receiveEnd(connection, next.from, next.close, next.reason)
  }
}

/** The peer has used up its credit. */
export function receiveBlocked(connection: Connection): void {
  connection.peerKnows = true
  const { link } = connection
  if (connection.receiving === 'ended') return
  const growth = wantedGrowth(connection.window, connection.backlog, link.maxWindowBytes)
  if (growth > 0 && reserve(link.budget, growth)) grant(connection, grow(connection.window, growth))
  lookAtWindow(connection)
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
  if (connection.closing === 'waits-for-socket' && connection.backlog === 0) answerStockClose(connection)
}

function deliver(connection: Connection, bytes: Uint8Array): void {
  const { link, broken } = connection
  if (broken !== undefined) return
  receiverActive(connection)
  if (connection.backlog === 0) connection.tookMs = link.nowMs
  connection.backlog += bytes.length
  connection.arrivedBytes += bytes.length
  connection.receivedBytes += bytes.length
  connection.events.data(bytes)
  if (!link.flowControl) link.backlogChanged(connection, 0)
  spendWithin(link.budget, bytes.length)
}

/** Of an owner that has left, only what it still wants to send tells whether the peer goes on. */
function receiverActive(connection: Connection): void {
  if (connection.closing !== 'after-sending') connection.activeMs = connection.link.nowMs
}

function grant({ id, home }: Connection, credit: number): void {
  if (credit > 0) home.carrier.control({ type: 'WINDOW_UPDATE', connectId: id, credit })
}

function countEarly(connection: Connection, bytes: number): void {
  connection.earlyBytes += bytes
  spend(connection.link.budget, bytes)
}

/** An honest peer does not move to a carrier that it has ended. */
function checkCarrier(connection: Connection): void {
  const { state } = connection.in
  if (state === 'ended' || state === 'spent') close(connection, 'carrier-lost')
}

function keep(connection: Connection, frame: EarlyFrame<Outlet>): void {
  connection.early ??= createEarlyFrames()
  if (!keepEarly(connection.early, frame)) return closeViolator(connection)
  countEarly(connection, earlyCost(frame))
  spendWithin(connection.link.budget, 0) // may end it
}
