/**
 * How one connection ends: the peer's direction, then all of it, in good order or by a reset. Whatever it held is given back
 * here, and its owner hears of it once. Pure. Source: docs/protocol.md section 5.
 */
import { release, spend } from './budget.ts'
import { type Connection, countHeld, type Ending } from './connection.ts'
import { shrink } from './window.ts'

/** Breaks the connection; bytes under way may be lost. Also gives up what a finished connection has not taken. */
export function close(connection: Connection, reason: string): void {
  if (connection.over) return dropBacklog(connection)
  tellReset(connection, reason)
  finish(connection, { kind: 'reset', by: 'self', reason })
}

/** The peer broke the rules of credit or of moves: only this connection pays. */
export const closeViolator = (connection: Connection): void => close(connection, 'flow-control-violation')

/** The way to the peer is gone. */
export function lose(connection: Connection, reason: string): void {
  finish(connection, { kind: 'reset', by: 'tunnel', reason })
}

/** Tells the peer of a reset. */
export function tellReset(connection: Connection, reason: string): void {
  const { role, closeReason } = connection.link
  const text = closeReason ? reason : ''
  connection.home.carrier.ordered(
    role === 'server'
      ? { type: 'CLOSE_REQ', connectId: connection.id, reason: text }
      : { type: 'CLOSE_RSP', connectId: connection.id, error: text },
  )
}

/** The peer sends no more bytes. */
export function endReceiving(connection: Connection): void {
  if (connection.receiving === 'ended') return
  connection.receiving = 'ended'
  connection.events.end()
}

/** It is over, once. */
export function finish(connection: Connection, ending: Ending): void {
  if (connection.over) return
  connection.over = true
  release(connection.link.budget, shrink(connection.window))
  connection.out.load--
  connection.held = []
  countHeld(connection, -connection.heldBytes)
  dropEarly(connection)
  if (ending.kind === 'reset' && !ending.inOrder) dropBacklog(connection)
  connection.link.forget(connection)
  connection.events.over(ending)
}

/** Frames that came before their turn are nobody's any more. */
export function dropEarly(connection: Connection): void {
  spend(connection.link.budget, -connection.earlyBytes)
  connection.early = undefined
  connection.earlyBytes = 0
}

/** What came for the owner's socket is nobody's any more. */
export function dropBacklog(connection: Connection): void {
  const { link, backlog } = connection
  connection.backlog = 0
  spend(link.budget, -backlog)
  link.backlogChanged(connection, 0)
}
