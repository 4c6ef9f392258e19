/** Which cluster an address is of, by the ranges of all of them: the longest prefix that fits counts, as in routing. Pure. */
import { readRange } from '../platform/address-range.ts'
import { ipBytes } from '../platform/ip-address.ts'

/** @property prefixes by the prefix: the cluster */
type Length = { readonly bytes: number; readonly bits: number; readonly prefixes: Map<string, string> }

/**
 * One look-up for each length of prefix in use, however many clusters there are.
 *
 * @param ranges of each cluster, in CIDR notation or single addresses
 * @returns of an address the cluster, undefined where it is of none
 */
export function createAddressIndex(
  ranges: Iterable<readonly [cluster: string, range: string]>,
): (ip: string) => string | undefined {
  const lengths = new Map<string, Length>()
  for (const [cluster, text] of ranges) {
    const { bytes, bits } = readRange(text)!
    const key = `${bytes.length} ${bits}`
    const length = lengths.get(key) ?? { bytes: bytes.length, bits, prefixes: new Map() }
    lengths.set(key, length)
    length.prefixes.set(prefixOf(bytes, bits), cluster)
  }
  const longestFirst = [...lengths.values()].sort((one, other) => other.bits - one.bits)
  return (ip) => {
    const address = longestFirst.length > 0 ? ipBytes(ip.replace(/%.*$/, '')) : undefined // Node gives link-local peers with their zone
    if (address === undefined) return undefined
    for (const { bytes, bits, prefixes } of longestFirst) {
      const cluster = bytes === address.length ? prefixes.get(prefixOf(address, bits)) : undefined
      if (cluster !== undefined) return cluster
    }
    return undefined
  }
}

function prefixOf(bytes: readonly number[], bits: number): string {
  const whole = bytes.slice(0, bits >> 3)
  const rest = bits & 7
  return (rest === 0 ? whole : [...whole, bytes[bits >> 3]! & (0xff << (8 - rest)) & 0xff]).join('.')
}
