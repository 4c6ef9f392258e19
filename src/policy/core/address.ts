/**
 * Ranges of IP addresses, and all that an address stands for. Pure.
 *
 * An address can reach what another one names: `0.0.0.0` and `::` are the machine itself, and some IPv6 addresses carry an
 * IPv4 one inside (NAT64, RFC 6052 and 8215; 6to4, RFC 3056; the IPv4-compatible form, RFC 4291). Who denies a range denies those forms
 * of its addresses too; who allows a range allows its own addresses only.
 */
import { ipBytes } from '../../platform/ip-address.ts'

export type Bytes = readonly number[]
/** The first `bits` of `bytes`, 4 or 16 of them; `text` is the one form in which it is shown. */
export type AddressRange = { readonly text: string; readonly bytes: Bytes; readonly bits: number }

/** @param text `10.0.0.0/8`, or one address */
export function readRange(text: string): AddressRange | { readonly expected: string } {
  const [, host = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const bytes = ipBytes(host)
  if (bytes === undefined) return { expected: 'an address range such as 10.0.0.0/8 or fd00::/8, or one address' }
  const given = Number(length ?? (host.includes(':') ? 128 : 32))
  const bits = host.includes(':') && bytes.length === 4 ? given - 96 : given // an IPv4-mapped one is the IPv4 range
  if (bits < 0 || bits > bytes.length * 8) return { expected: `a prefix length that the address ${host} can have` }
  const masked = bytes.map((byte, index) => byte & maskOf(bits - index * 8))
  const range = `${addressText(masked)}/${bits}`
  if (masked.some((byte, index) => byte !== bytes[index]))
    return { expected: `the first address of the range, ${range}` }
  return { text: range, bytes, bits }
}

export function holds(range: AddressRange, address: Bytes): boolean {
  if (range.bytes.length !== address.length) return false
  return address.every((byte, index) => (byte & maskOf(range.bits - index * 8)) === range.bytes[index])
}

/** The address, and the others that reach the same. */
export function formsOf(address: Bytes): readonly Bytes[] {
  if (address.every((byte) => byte === 0)) return [address, address.length === 4 ? LOOPBACK : LOOPBACK_6, LOOPBACK]
  const inside = address.length === 16 ? insideOf(address) : undefined
  return inside === undefined ? [address] : [address, ...formsOf(inside)]
}

/** Where clouds serve credentials to whoever asks from inside: 169.254.0.0/16 and fe80::/10, in all forms. */
export function isLinkLocal(address: Bytes): boolean {
  return formsOf(address).some((form) => LINK_LOCAL.some((range) => holds(range, form)))
}

/** In one form for all spellings; that of IPv6 is longer than RFC 5952's and as good to read back. */
export function addressText(bytes: Bytes): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[index * 2]! << 8) | bytes[index * 2 + 1]!).toString(16),
  )
  const text = groups.join(':')
  const [longest = ''] = (text.match(/(?<![^:])0(?::0)+(?![^:])/g) ?? []).sort((a, b) => b.length - a.length)
  if (longest === '') return text
  const at = text.search(new RegExp(`(?<![^:])${longest}(?![^:])`))
  return `${text.slice(0, at).replace(/:$/, '')}::${text.slice(at + longest.length).replace(/^:/, '')}`
}

const LOOPBACK: Bytes = [127, 0, 0, 1]
const LOOPBACK_6: Bytes = [...new Array<number>(15).fill(0), 1]
const LINK_LOCAL: readonly AddressRange[] = [
  { text: '169.254.0.0/16', bytes: [169, 254, 0, 0], bits: 16 },
  { text: 'fe80::/10', bytes: [0xfe, 0x80, ...new Array<number>(14).fill(0)], bits: 10 },
]
const NAT64: Bytes = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
/** Networks' own prefixes are below it (RFC 8215). Of 96 bits, as usual, they have the IPv4 address at the end; of fewer it is not found. */
const LOCAL_NAT64: Bytes = [0, 0x64, 0xff, 0x9b, 0, 1]
const COMPATIBLE: Bytes = new Array<number>(12).fill(0)
const SIX_TO_FOUR: Bytes = [0x20, 0x02]

function insideOf(address: Bytes): Bytes | undefined {
  if (startsWith(address, SIX_TO_FOUR)) return address.slice(2, 6)
  if (startsWith(address, NAT64) || startsWith(address, LOCAL_NAT64)) return address.slice(12)
  return startsWith(address, COMPATIBLE) && address.slice(12, 15).some((byte) => byte > 0)
    ? address.slice(12)
    : undefined
}

const startsWith = (address: Bytes, prefix: Bytes): boolean => prefix.every((byte, index) => byte === address[index])

/** @param bits how many of the byte's own count; less than none and more than all will do */
const maskOf = (bits: number): number => (0xff << (8 - Math.min(8, Math.max(0, bits)))) & 0xff
