/** What a connection has to do with one of the carriers of its session. Pure. Source: docs/protocol.md section 10. */
import type { Connection, Outlet } from './connection.ts'
import { earlyUses, lastEarly } from './early-frames.ts'

/**
 * Whether frames of this connection may still come or go over the outlet, or wait for their turn that did. One whose last
 * bytes went over it is not its concern: the peer notices what is missing.
 */
export function uses({ out, sending, in: incoming, receiving, early }: Connection, outlet: Outlet): boolean {
  if (out === outlet && sending !== 'ended') return true
  return receiving === 'open' && (incoming === outlet || (early !== undefined && earlyUses(early, outlet)))
}

/** Whether nothing is missing of what the peer sent of it over an outlet from which nothing more comes. */
export function endsWell({ in: incoming, receiving, early }: Connection, outlet: Outlet): boolean {
  if (receiving === 'ended') return true
  if (incoming === outlet) return false
  if (!early || !earlyUses(early, outlet)) return true
  const last = lastEarly(early, outlet)
  return last !== undefined && last.kind !== 'data'
}

/** Whether frames that came over the outlet wait for their turn. */
export const hasEarly = ({ early }: Connection, outlet: Outlet): boolean =>
  early !== undefined && lastEarly(early, outlet) !== undefined
