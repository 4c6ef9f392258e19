/** Where a peer comes from, for people. */

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
