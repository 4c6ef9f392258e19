/** The host that a dial is for, as the strategy destHost looks for it. Pure. */
import { ipBytes } from '../../platform/ip-address.ts'

/** The address without its port, cut exactly as konnectivity cuts it: what agents name is compared with this. */
export function hostOf(address: string): string {
  const colon = address.indexOf(':')
  if (colon === address.lastIndexOf(':')) return colon < 0 ? address : address.slice(0, colon)
  const host = address.includes('[') ? address.slice(0, address.lastIndexOf(':')) : address
  return host.replace(/^[[\]]+|[[\]]+$/g, '')
}

/**
 * The same text for all spellings of a host: upper and lower case and the final dot of a name, the zeros of an IPv6 address.
 * It is nothing to show.
 */
export function hostKey(host: string): string {
  const bytes = ipBytes(host)
  return bytes === undefined ? host.toLowerCase().replace(/\.$/, '') : bytes.join('.')
}
