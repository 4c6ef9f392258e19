/**
 * What the agent may dial, when its cluster sets no policy: TCP over either family, to everything but link-local addresses. Pure.
 *
 * Those are where clouds serve credentials to whoever asks from inside. Names are judged by the addresses they resolve to,
 * and what was judged is what is dialled. Refusals read like Go's dial errors: a stock server makes a 502 of them.
 */

import { ipBytes } from '../../platform/ip-address.ts'
import { addressErrorText, hostPort, lookupErrorText, portErrorText, shown } from './go-errors.ts'
import { splitAddress } from './split-address.ts'

export type Target = {
  readonly kind: 'address' | 'name'
  /** An IP address, the IPv4 one for an IPv4-mapped one, or a name in lower case; its final dot, if any, is kept. */
  readonly host: string
  readonly port: number
  /** Of the addresses that may be dialled; 0 is any. */
  readonly family: 0 | 4 | 6
}

export type RefusedTarget = { readonly kind: 'refused'; readonly text: string }

/** @param address host:port of a DIAL_REQ, which an unknown client of the server chose */
export function readTarget(protocol: string, address: string): Target | RefusedTarget {
  const family = FAMILIES.get(protocol)
  if (family === undefined) {
    return refused(`dial ${shown(protocol)}: protocol not allowed by this agent, it dials tcp, tcp4 and tcp6 only`)
  }
  if (address === '') return refused('dial tcp: missing address')
  const split = splitAddress(address)
  if (split.kind === 'none') return refused(addressErrorText(address, split.why))
  const { host: text, isBracketed } = split
  const port = /^[1-9]\d{0,4}$/.test(split.port) ? Number(split.port) : 0
  if (port < 1 || port > 65535) return refused(portErrorText(split.port, protocol))
  if (text === '') return refused(addressErrorText(address, 'missing host'))
  const bytes = ipBytes(text)
  if (bytes !== undefined) {
    const host = bytes.length === 4 ? bytes.join('.') : text.toLowerCase()
    if (!isOfFamily(host, family)) return refused(addressErrorText(host, NO_ADDRESS))
    return isAllowedAddress(host) ? { kind: 'address', host, port, family } : refused(prohibitedText(host, port))
  }
  if (isBracketed) return refused(addressErrorText(address, 'not an IPv6 address'))
  if (!isName(text)) return refused(lookupErrorText(text, { code: 'ENOTFOUND' }))
  return { kind: 'name', host: text.toLowerCase(), port, family }
}

/** @param address as a resolver gave it; what cannot be read is not allowed */
export function isAllowedAddress(address: string): boolean {
  const bytes = ipBytes(address)
  if (bytes === undefined) return false
  const [first = 0, second = 0] = bytes
  return bytes.length === 4 ? !(first === 169 && second === 254) : !(first === 0xfe && (second & 0xc0) === 0x80)
}

export function prohibitedText(host: string, port: number): string {
  return `dial tcp ${shown(hostPort(host, port))}: link-local addresses are not allowed by this agent`
}

/** Go's words where the address, or every address of a name, is of the other family. */
export const NO_ADDRESS = 'no suitable address found'

export function isOfFamily(address: string, family: Target['family']): boolean {
  return family === 0 || ipBytes(address)?.length === (family === 4 ? 4 : 16)
}

const FAMILIES: ReadonlyMap<string, Target['family']> = new Map([
  ['tcp', 0],
  ['tcp4', 4],
  ['tcp6', 6],
])

/**
 * Names that end in a number are the octal, hexadecimal and short forms of IPv4 addresses. The C library would take them,
 * Go does not, and a policy that reads names must not be led past by "0xa9fea9fe".
 */
function isName(text: string): boolean {
  if (text.length > MAX_NAME_CHARS || !/^[\w.~-]+$/.test(text)) return false
  return !/(?:^|\.)(?:\d+|0x[\da-f]*)\.?$/i.test(text)
}

const MAX_NAME_CHARS = 254 // a DNS name of 253 and its final dot

function refused(text: string): RefusedTarget {
  return { kind: 'refused', text }
}
