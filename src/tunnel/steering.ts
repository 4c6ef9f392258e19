/**
 * Which connections go over lanes: those that are bulk, until they are no longer. Small exchanges stay on the stream, where
 * nothing is in front of them. Pure. Source: docs/protocol.md section 10.
 */
import { BULK_BYTES, DRAIN_BYTES_PER_MS, isCalm } from './bulk.ts'
import { READ_BYTES } from './carrier.ts'
import type { Connection, Outlet } from './connection.ts'
import { MAX_LANE_CONNECT_ID } from './lane-frames.ts'
import { move } from './moving.ts'

/** Called before bytes are sent, which were weighed. */
export function steer(connection: Connection): void {
  const { link, bulk, steered } = connection
  if (bulk === steered || !link.steers) return
  if (bulk) goToLane(connection)
  else goHome(connection)
}

/**
 * Called now and then: a connection that says nothing any more must not keep its lane open, and one that carries much, either way,
 * wants lanes that were not there when it began, or were lost since.
 *
 * @param sinceMs since the look before: milliseconds
 */
export function review(connection: Connection, nowMs: number, sinceMs: number): void {
  const { steered, arrivedBytes, link } = connection
  connection.arrivedBytes = 0
  if (steered && isCalm(connection, nowMs)) goHome(connection)
  else if (steered || arrivedBytes >= DRAIN_BYTES_PER_MS * sinceMs) link.carriesMuch()
}

/** The peer of this connection wants it to send more than it may: told by the size that its window has. */
export function lookAtWindow({ link, window }: Connection): void {
  if (window.size > BULK_BYTES) link.carriesMuch()
}

/** The lane with the most room, if there is one with room for a whole read. */
export function roomiest(lanes: readonly Outlet[]): Outlet | undefined {
  let best: Outlet | undefined
  let most = READ_BYTES - 1
  for (const lane of lanes) {
    const room = lane.carrier.room()
    if (room <= most) continue
    best = lane
    most = room
  }
  return best
}

/** The lane that this connection is on is full: it goes on over another one that is not, if there is one. */
export function changeLane(connection: Connection): boolean {
  const { out, home, link } = connection
  const lane = out === home ? undefined : roomiest(link.lanes)
  return lane !== undefined && move(connection, lane)
}

function goToLane(connection: Connection): void {
  const { link, id } = connection
  link.carriesMuch()
  const lane = leastLoaded(link.lanes)
  if (lane && id <= MAX_LANE_CONNECT_ID) connection.steered = move(connection, lane)
}

function goHome(connection: Connection): void {
  connection.steered = false
  move(connection, connection.home)
}

function leastLoaded([first, ...others]: readonly Outlet[]): Outlet | undefined {
  return first && others.reduce((least, lane) => (lane.load < least.load ? lane : least), first)
}
