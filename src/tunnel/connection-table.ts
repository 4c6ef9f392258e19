/**
 * The connections of one stream by number, and those that are over but of which a socket has not taken all. A frame for a
 * number that was in use has crossed the end of its connection; any other makes no sense. Pure.
 */
import type { Connection } from './connection.ts'
import type { Int64 } from './packet.ts'

export type ConnectionTable = {
  readonly live: Map<Int64, Connection>
  readonly lingering: Set<Connection>
  /** Numbers up to here have been in use. */
  highest: Int64
}

export const createConnectionTable = (): ConnectionTable => ({ live: new Map(), lingering: new Set(), highest: 0 })

export function addConnection(table: ConnectionTable, connection: Connection): void {
  table.live.set(connection.id, connection)
  noteNumber(table, connection.id)
}

/** The number is in use at the peer, whether or not a connection comes of it here. */
export function noteNumber(table: ConnectionTable, id: Int64): void {
  if (id > table.highest) table.highest = id
}

/** The connection is over. */
export function removeConnection(table: ConnectionTable, connection: Connection): void {
  table.live.delete(connection.id)
  if (connection.backlog > 0) table.lingering.add(connection)
}

export const wasInUse = (table: ConnectionTable, id: Int64): boolean => id > 0 && id <= table.highest

/** As they are now: any of them may end while the list is gone through. */
export const liveConnections = (table: ConnectionTable): Connection[] => [...table.live.values()]

/** Bytes that wait for its socket, for their turn, or for the peer. */
export const heldFor = ({ backlog, earlyBytes, heldBytes }: Connection): number => backlog + earlyBytes + heldBytes

/** All of which bytes wait. */
export const holders = (table: ConnectionTable): Connection[] =>
  [...table.live.values(), ...table.lingering].filter((connection) => heldFor(connection) > 0)
