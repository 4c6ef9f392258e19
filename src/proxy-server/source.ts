/** Where a peer comes from, for people: who a front door says it is, where the connection is one of those. */
import type { Socket } from 'node:net'
import type { Address } from '../platform/address-range.ts'

export type Source = { readonly remoteAddress?: string | undefined; readonly remotePort?: number | undefined }

/** host:port; none over a Unix socket. */
export function sourceOf({ remoteAddress, remotePort }: Source): string | undefined {
  const address = plainAddress(remoteAddress)
  if (address === undefined) return undefined
  return address.includes(':') ? `[${address}]:${remotePort}` : `${address}:${remotePort}`
}

/** As IPv4 what a listener on all addresses sees as IPv4-mapped IPv6. */
export const plainAddress = (address: string | undefined): string | undefined =>
  address?.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')

const toldOf = new WeakMap<Socket, Address>()

/** A front door says who has come by this connection. */
export const comesFrom = (raw: Socket, who: Address): void => void toldOf.set(raw, who)

const headerBytesOf = new WeakMap<Socket, number>()

/** So many bytes of it were a front door's. */
export const beganWithHeader = (raw: Socket, bytes: number): void => void headerBytesOf.set(raw, bytes)

/** Whether who has come has sent anything. */
export const hasSpoken = (raw: Socket): boolean => raw.bytesRead > (headerBytesOf.get(raw) ?? 0)

/** Of who has come by an accepted connection. */
export const addressOf = (raw: Socket): string | undefined => toldOf.get(raw)?.ip ?? raw.remoteAddress

/** What is above the connection says of itself where it comes from: from now on the same. */
export function passOnSource(raw: Socket, above: Socket): void {
  const who = toldOf.get(raw)
  if (who) Object.defineProperties(above, { remoteAddress: { value: who.ip }, remotePort: { value: who.port } })
}
