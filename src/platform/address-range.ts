/** The two ends of a connection, and ranges of addresses. Pure. */
import { ipBytes } from './ip-address.ts'

export type Address = { readonly ip: string; readonly port: number }
/** Who connected, and to what. */
export type Ends = { readonly source: Address; readonly destination: Address }

/** A range in CIDR notation, or one address. IPv4-mapped addresses are IPv4's. */
export type Range = { readonly bytes: readonly number[]; readonly bits: number }

/** Undefined when it is none, also when bits are set behind the prefix: that may be a slip. */
export function readRange(text: string): Range | undefined {
  const [, ip = '', length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const bytes = ipBytes(ip)
  if (bytes === undefined) return undefined
  const most = bytes.length * 8
  const bits = length === undefined ? most : Number(length)
  if (bits > most) return undefined
  const isClean = bytes.every((byte, index) => (byte & ~mask(bits - index * 8)) === 0)
  return isClean ? { bytes, bits } : undefined
}

/** In one spelling, the same for all of a range; a whole address without its length. */
export const rangeText = ({ bytes, bits }: Range): string =>
  ipText(Uint8Array.from(bytes)) + (bits < bytes.length * 8 ? `/${bits}` : '')

export function isWithin(ip: string, ranges: readonly Range[]): boolean {
  const bytes = ipBytes(ip)
  if (bytes === undefined) return false
  return ranges.some(
    (range) =>
      range.bytes.length === bytes.length &&
      bytes.every((byte, index) => ((byte ^ range.bytes[index]!) & mask(range.bits - index * 8)) === 0),
  )
}

/** The first so many bits of a byte. */
const mask = (bits: number): number => (bits >= 8 ? 0xff : bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff)

/** An address of 4 or 16 bytes as text. IPv6: RFC 5952. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!)
  let [start, length] = [0, 0] // of the longest run of zeros
  for (let at = 0; at < groups.length; at++) {
    let end = at
    while (groups[end] === 0) end++
    if (end - at > length) [start, length] = [at, end - at]
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(':')
  return length < 2 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}
