/**
 * IP addresses from text, in the one strict form that cannot be read two ways. Pure.
 *
 * IPv4: four decimal numbers without leading zeros; the octal, hexadecimal and short forms that `inet_aton` takes are
 * no addresses here. IPv6: RFC 4291 section 2.2, without a zone (which means something on one machine only).
 */

/** 4 or 16 bytes, or undefined when `text` is no address. An IPv4-mapped IPv6 address is the IPv4 address it stands for. */
export function ipBytes(text: string): readonly number[] | undefined {
  if (!text.includes(':')) return ipv4Bytes(text)
  const bytes = ipv6Bytes(text)
  if (bytes === undefined) return undefined
  return MAPPED_PREFIX.every((byte, index) => bytes[index] === byte) ? bytes.slice(12) : bytes
}

/** Whoever has one IPv6 address has the whole /64 of it: bytes. */
const NETWORK_BYTES = 8

/** The same for all addresses that are one source of connections: an IPv4 address, or an IPv6 /64. */
export function sourceOf(ip: string): string {
  const bytes = ipBytes(ip.replace(/%.*$/, '')) // Node gives link-local peers with their zone
  if (bytes === undefined) return ip
  return bytes.slice(0, bytes.length === 4 ? 4 : NETWORK_BYTES).join('.')
}

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

function ipv4Bytes(text: string): number[] | undefined {
  const parts = text.split('.', 5)
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part))) return undefined
  const bytes = parts.map(Number)
  return bytes.every((byte) => byte <= 255) ? bytes : undefined
}

function ipv6Bytes(text: string): number[] | undefined {
  const [before = '', after, ...more] = text.split('::', 3)
  if (more.length > 0) return undefined
  const head = groupBytes(before, after === undefined)
  const tail = groupBytes(after ?? '', true)
  if (head === undefined || tail === undefined) return undefined
  const missing = 16 - head.length - tail.length
  if (after === undefined ? missing !== 0 : missing < 2) return undefined // '::' stands for one group or more
  return [...head, ...new Array<number>(missing).fill(0), ...tail]
}

/** @param last whether the address ends here: only there may the last 4 bytes be written as IPv4 */
function groupBytes(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':', 9)
  for (const [index, group] of groups.entries()) {
    if (last && index === groups.length - 1 && group.includes('.')) {
      const ipv4 = ipv4Bytes(group)
      if (ipv4 === undefined) return undefined
      bytes.push(...ipv4)
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes
}
