/**
 * What a server asks to be dialled: TCP over either family, to a name or an address in one form each. Whether it may be is
 * for the gate (gate.ts) to say. Pure. Refusals read like Go's dial errors: a stock server makes a 502 of them.
 */

import { ipBytes } from '../../platform/ip-address.ts'
import { splitAddress } from '../../platform/split-address.ts'
import { canonicalName } from '../../policy/core/name.ts'
import { addressErrorText, lookupErrorText, portErrorText, shown } from './go-errors.ts'

export type Target = {
  readonly kind: 'address' | 'name'
  /** An IP address, the IPv4 one for an IPv4-mapped one, or a name in lower case; its final dot, if any, is kept. */
  readonly host: string
  readonly port: number
  /** Of the addresses that may be dialled; 0 is any. */
  readonly family: 0 | 4 | 6
}

export type RefusedTarget = {
  readonly kind: 'refused'
  readonly why: 'protocol' | 'malformed'
  readonly text: string
}

/** @param address host:port of a DIAL_REQ, which an unknown client of the server chose */
export function readTarget(protocol: string, address: string): Target | RefusedTarget {
  const family = FAMILIES.get(protocol)
  if (family === undefined) {
    const text = `dial ${shown(protocol)}: protocol not allowed by this agent, it dials tcp, tcp4 and tcp6 only`
    return { kind: 'refused', why: 'protocol', text }
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
    return { kind: 'address', host, port, family }
  }
  if (isBracketed) return refused(addressErrorText(address, 'not an IPv6 address'))
  if (canonicalName(text) === undefined) return refused(lookupErrorText(text, { code: 'ENOTFOUND' }))
  return { kind: 'name', host: text.toLowerCase(), port, family }
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

function refused(text: string): RefusedTarget {
  return { kind: 'refused', why: 'malformed', text }
}
