/** Writes the PROXY header that a backend is sent before a client's first byte. Pure. Source: as of proxy-header.ts. */
import { Buffer } from 'node:buffer'
import { type Ends, ipText } from '../../platform/address-range.ts'
import { ipBytes } from '../../platform/ip-address.ts'
import { V2_SIGNATURE } from '../../platform/proxy-header.ts'

export type ProxyVersion = 'none' | 'v1' | 'v2'

/** IPv4-mapped addresses are IPv4's; where only one end is, both are written as IPv6. */
export function proxyHeader(version: ProxyVersion, { source, destination }: Ends): Buffer {
  if (version === 'none') return Buffer.alloc(0)
  const ips = [source.ip, destination.ip].map((ip) => ipBytes(ip) ?? [])
  const isV4 = ips.every((ip) => ip.length === 4)
  if (ips.some((ip) => ip.length === 0)) return version === 'v1' ? UNKNOWN_V1 : LOCAL_V2
  if (version === 'v1') {
    const shown = ips.map((ip) => ipText(Uint8Array.from(isV4 ? ip : ip6(ip))))
    const line = `PROXY ${isV4 ? 'TCP4' : 'TCP6'} ${shown.join(' ')} ${source.port} ${destination.port}\r\n`
    return Buffer.from(line, 'latin1')
  }
  const addresses = Buffer.from(ips.flatMap((ip) => (isV4 ? ip : ip6(ip))))
  const tail = Buffer.alloc(4)
  tail.writeUInt16BE(source.port)
  tail.writeUInt16BE(destination.port, 2)
  const body = Buffer.concat([addresses, tail])
  return Buffer.concat([V2_SIGNATURE, Buffer.from([0x21, isV4 ? 0x11 : 0x21, 0, body.length]), body])
}

const UNKNOWN_V1 = Buffer.from('PROXY UNKNOWN\r\n', 'latin1')
const LOCAL_V2 = Buffer.concat([V2_SIGNATURE, Buffer.from([0x20, 0, 0, 0])])

const ip6 = (ip: readonly number[]): readonly number[] =>
  ip.length === 16 ? ip : [...new Array<number>(10).fill(0), 0xff, 0xff, ...ip]
