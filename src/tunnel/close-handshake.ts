/**
 * The close of konnectivity, whose peers know no half close. The server asks with CLOSE_REQ behind the client's last byte; the
 * agent writes out what it has received, closes and answers with CLOSE_RSP; an agent whose target has ended says CLOSE_RSP
 * unasked. Between our own ends both frames only ever mean a reset. Pure. Source: docs/protocol.md section 5.
 */
import type { Connection } from './connection.ts'
import { endReceiving, finish } from './ending.ts'

/** Behind the last byte of the owner's. */
export function sayStockEnd(connection: Connection): void {
  if (connection.link.role === 'agent') return answerStockClose(connection)
  connection.out.carrier.ordered({ type: 'CLOSE_REQ', connectId: connection.id, reason: '' }, 'last-data')
  connection.closing = 'waits-for-peer'
}

/** Agent: the socket has all that came for it, or there is nothing more to come from it. */
export function answerStockClose(connection: Connection): void {
  connection.home.carrier.ordered({ type: 'CLOSE_RSP', connectId: connection.id, error: '' })
  finish(connection, { kind: 'finished' })
}

/** CLOSE_REQ or CLOSE_RSP came. */
export function receiveClose(connection: Connection, type: 'CLOSE_REQ' | 'CLOSE_RSP', reason: string): void {
  const { broken } = connection
  if (broken !== undefined) return finish(connection, { kind: 'reset', by: 'self', reason: broken })
  if (connection.link.halfClose || reason !== '') {
    return finish(connection, { kind: 'reset', by: 'peer', reason: reason === '' ? 'closed-by-peer' : reason })
  }
  endReceiving(connection)
  if (connection.over) return
  if (type === 'CLOSE_RSP') return finish(connection, { kind: 'finished' })
  connection.closing = 'waits-for-socket'
  if (connection.backlog === 0) answerStockClose(connection)
}
