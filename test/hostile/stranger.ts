/** Who comes with bytes and no credentials, and how a peer is got rid of. */
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { endOf } from '../integration/client.ts'
import { within } from '../integration/deadline.ts'
import { connectRaw } from '../integration/front-door.ts'
import { flood, type RawHttp2 } from '../integration/raw-http2.ts'

/** Far more than a program takes of what means nothing. */
const FLOOD = 400_000

/**
 * From an address of its own, as the audit log tells a stranger's refusal once a minute.
 *
 * @param net the third number of its address, which tells tables of attacks apart
 */
export const stranger = (t: Test, port: number, net: number, index: number): Promise<Socket> =>
  connectRaw(t, port, { localAddress: `127.0.${net}.${index + 1}` })

export async function hungUp(socket: Socket): Promise<string> {
  await endOf(socket)
  return 'hung up on'
}

/** Writes it again and again, and reads nothing, until it is hung up on. */
export async function floodUnread(peer: RawHttp2, first: Buffer, one: Buffer): Promise<string> {
  const closed = new Promise((resolve) => peer.socket.once('close', resolve))
  peer.socket.pause()
  peer.write(first)
  await flood(peer, one, FLOOD)
  peer.socket.resume()
  await within(closed, 'it is hung up on')
  return 'hung up on'
}
