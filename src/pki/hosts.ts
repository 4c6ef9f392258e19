/** By what a certificate's holder can be reached: DNS names and IP addresses, as a certificate may carry them. Pure. */
import { isIP } from 'node:net'

const DNS_NAME =
  /^(?=.{1,253}$)(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i

/** A name of ASCII labels, the first of which may be "*". */
export const isDnsName = (text: string): boolean => DNS_NAME.test(text) && isIP(text) === 0

/** An address without a zone, which would mean something on one machine only. */
export const isIpAddress = (text: string): boolean => isIP(text) !== 0 && !text.includes('%')

/** IPv6 in hexadecimal throughout: the X.509 library reads none that ends in an IPv4 address. */
export function plainAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}
