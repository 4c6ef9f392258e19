/**
 * Reads the header of the PROXY protocol, version 1 or 2, that a balancer in front puts before a connection's own bytes. Pure.
 * Asked only where a header must come: whether one comes is never guessed.
 *
 *   v1   "PROXY TCP4 <source ip> <destination ip> <source port> <destination port>\r\n", at most 107 bytes
 *   v2   12 bytes signature | 1: version 2, command | 1: family, transport | 2: length n | n bytes: addresses, then TLVs
 *
 * Source: The PROXY protocol, versions 1 & 2 (haproxy.org, proxy-protocol.txt), sections 2.1 and 2.2.
 */
import { Buffer } from 'node:buffer'
import { type Ends, ipText } from './address-range.ts'
import { ipBytes } from './ip-address.ts'

/** Longest header of version 2: bytes. Some hundred is what balancers add to addresses. */
export const MAX_PROXY_HEADER_BYTES = 4_096
const MAX_V1_BYTES = 107
export const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V2_HEAD_BYTES = 16
/** Bytes of the two addresses by family and transport, as far as these are assigned: others must be refused. */
const V2_ADDRESSES: ReadonlyMap<number, number> = new Map([
  [0x00, 0],
  ...[0x11, 0x12].map((ip4) => [ip4, 12] as const),
  ...[0x21, 0x22].map((ip6) => [ip6, 36] as const),
  ...[0x31, 0x32].map((unix) => [unix, 216] as const),
])
const V1_START = Buffer.from('PROXY ', 'latin1')

export type ProxyHeader =
  | { readonly kind: 'more' }
  /** `ends`: none when the balancer speaks for itself, as its health checks do, or does not say. */
  | { readonly kind: 'header'; readonly bytes: number; readonly ends: Ends | undefined }
  | { readonly kind: 'refused'; readonly why: string }

/** @param bytes all that has come so far */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAlike(bytes, V2_SIGNATURE)) return readV2(bytes)
  if (startsAlike(bytes, V1_START)) return readV1(bytes)
  return refused('there is no PROXY header')
}

/** As far as both go. */
const startsAlike = (bytes: Buffer, start: Buffer): boolean => {
  const length = Math.min(bytes.length, start.length)
  return bytes.subarray(0, length).equals(start.subarray(0, length))
}

function readV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n')
  if (end < 0) return bytes.length < MAX_V1_BYTES ? { kind: 'more' } : refused('its first line does not end')
  const [, family = '', ...fields] = bytes.toString('latin1', 0, end).split(' ')
  const length = end + 2
  if (family === 'UNKNOWN') return { kind: 'header', bytes: length, ends: undefined }
  const [sourceIp = '', destinationIp = '', sourcePort = '', destinationPort = ''] = fields
  const isFamily = (ip: string): boolean => ipBytes(ip) !== undefined && ip.includes(':') === (family === 'TCP6')
  const isKnown = family === 'TCP4' || family === 'TCP6'
  if (!isKnown || fields.length !== 4 || !isFamily(sourceIp) || !isFamily(destinationIp)) {
    return refused('its line of version 1 has no two addresses')
  }
  const ports = [sourcePort, destinationPort].map(portIn)
  const [source, destination] = ports
  if (source === undefined || destination === undefined) return refused('its line of version 1 has no two ports')
  return {
    kind: 'header',
    bytes: length,
    ends: { source: { ip: sourceIp, port: source }, destination: { ip: destinationIp, port: destination } },
  }
}

const portIn = (text: string): number | undefined =>
  /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined

function readV2(bytes: Buffer): ProxyHeader {
  if (bytes.length < V2_HEAD_BYTES) return { kind: 'more' }
  const [command, family] = [bytes[12]!, bytes[13]!]
  const length = bytes.readUInt16BE(14)
  if (command >> 4 !== 2 || (command & 0xf) > 1) return refused('its version or command is unknown')
  if (V2_HEAD_BYTES + length > MAX_PROXY_HEADER_BYTES) return refused(`it is over ${MAX_PROXY_HEADER_BYTES} bytes`)
  const isLocal = (command & 0xf) === 0 // then whatever it says of addresses is to be ignored
  const least = isLocal ? 0 : V2_ADDRESSES.get(family)
  if (least === undefined) return refused('its family or transport is unknown')
  if (length < least) return refused('its addresses end early')
  const addressBytes = { 17: 4, 33: 16 }[family]
  if (bytes.length < V2_HEAD_BYTES + length) return { kind: 'more' }
  if (isLocal || addressBytes === undefined) return { kind: 'header', bytes: V2_HEAD_BYTES + length, ends: undefined }
  const ip = (index: number): string => {
    const start = V2_HEAD_BYTES + index * addressBytes
    return ipText(bytes.subarray(start, start + addressBytes))
  }
  const port = (index: number): number => bytes.readUInt16BE(V2_HEAD_BYTES + 2 * addressBytes + 2 * index)
  const ends = { source: { ip: ip(0), port: port(0) }, destination: { ip: ip(1), port: port(1) } }
  return { kind: 'header', bytes: V2_HEAD_BYTES + length, ends }
}

const refused = (why: string): ProxyHeader => ({ kind: 'refused', why })
