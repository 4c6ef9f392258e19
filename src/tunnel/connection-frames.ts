/** The frames about one connection, besides its data: what each of them is for. Pure. Source: docs/protocol.md section 2. */
import { receiveClose } from './close-handshake.ts'
import type { Connection, Outlet } from './connection.ts'
import { close } from './ending.ts'
import type { Packet } from './packet.ts'
import { receiveBlocked, receiveEnd, receiveMove } from './receiving.ts'
import { receiveCredit } from './sending.ts'

export type ConnectionFrame = Extract<
  Packet,
  { type: 'CLOSE_REQ' | 'CLOSE_RSP' | 'END_OF_DATA' | 'WINDOW_UPDATE' | 'BLOCKED' | 'MOVE' }
>

/** @param outlets those that are there, by the number of their carrier */
export function receiveFrame(
  connection: Connection,
  from: Outlet,
  frame: ConnectionFrame,
  outlets: ReadonlyMap<number, Outlet>,
): void {
  switch (frame.type) {
    case 'CLOSE_REQ':
      return receiveClose(connection, frame.type, frame.reason)
    case 'CLOSE_RSP':
      return receiveClose(connection, frame.type, frame.error)
    case 'END_OF_DATA':
      return receiveEnd(connection, from, frame.close !== 0, frame.reason)
    case 'WINDOW_UPDATE':
      return receiveCredit(connection, frame.credit)
    case 'BLOCKED':
      return receiveBlocked(connection)
    case 'MOVE': {
      const to = outlets.get(frame.carrier)
      return to ? receiveMove(connection, from, to) : close(connection, 'carrier-lost')
    }
    default:
      frame satisfies never
  }
}
