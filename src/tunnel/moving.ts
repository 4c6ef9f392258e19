/** One connection's data changes its carrier: MOVE is the last frame on the old one. Pure. Source: docs/protocol.md section 10. */
import type { Connection, Outlet } from './connection.ts'

/** Sends the data that follows over another carrier. Refused until the peer is known to know the connection. */
export function move(connection: Connection, to: Outlet): boolean {
  if (connection.over || connection.sending === 'ended' || !connection.peerKnows || connection.out === to) return false
  connection.out.carrier.ordered({ type: 'MOVE', connectId: connection.id, carrier: to.carrier.index })
  if (connection.over) return false // that was a frame too many for a peer that does not read
  connection.out.load--
  connection.out = to
  to.load++
  to.usedMs = connection.link.nowMs
  if (connection.paused || connection.held.length > 0) to.scheduler.wait(connection)
  return true
}
