/**
 * Reads DER, the form of certificates and revocation lists: a tag, a length, and as many bytes. Pure; never reads beyond what
 * it was given, copies nothing, and takes no length that is not written the shortest way (X.690, section 10.1).
 */
import type { Buffer } from 'node:buffer'
import { TunnelError } from '../platform/errors.ts'

export const TAG = {
  integer: 0x02,
  bitString: 0x03,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const

export type Der = {
  readonly tag: number
  /** With tag and length. */
  readonly whole: Buffer
  readonly content: Buffer
}

/** The elements that lie in `bytes` one after the other. @throws TunnelError `malformed` */
export function readDer(bytes: Buffer): Der[] {
  const elements: Der[] = []
  for (let at = 0; at < bytes.length; ) {
    const element = readAt(bytes, at)
    elements.push(element)
    at += element.whole.length
  }
  return elements
}

/** The elements of the one that `bytes` are, which must be a SEQUENCE. @throws TunnelError `malformed` */
export function readSequence(bytes: Buffer): Der[] {
  const [sequence, ...more] = readDer(bytes)
  if (sequence?.tag !== TAG.sequence || more.length > 0) throw malformed('expected one SEQUENCE')
  return readDer(sequence.content)
}

/** UTCTime or GeneralizedTime as RFC 5280 has them: to the second, in UTC. @throws TunnelError `malformed` */
export function readTime({ tag, content }: Der): number {
  const text = content.toString('latin1')
  const [, year = '', month, day, hour, minute, second] = (tag === TAG.utcTime ? UTC_TIME : LONG_TIME).exec(text) ?? []
  const century = tag !== TAG.utcTime ? '' : Number(year) >= 50 ? '19' : '20'
  const unixMs = Date.parse(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(unixMs)) throw malformed('expected a time in UTC')
  return unixMs
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
const LONG_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
/** Of what a length is written in: bytes. */
const MAX_LENGTH_BYTES = 4

function readAt(bytes: Buffer, at: number): Der {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw malformed('ends too early')
  let start = at + 2
  let length = first
  if (first >= 0x80) {
    const size = first - 0x80
    if (size === 0 || size > MAX_LENGTH_BYTES || start + size > bytes.length) throw malformed('a length is malformed')
    length = bytes.readUIntBE(start, size)
    if (length < 0x80 || bytes[start] === 0) throw malformed('a length is malformed')
    start += size
  }
  const end = start + length
  if (end > bytes.length) throw malformed('ends too early')
  return { tag, whole: bytes.subarray(at, end), content: bytes.subarray(start, end) }
}

export function malformed(what: string): TunnelError {
  return new TunnelError('malformed', what)
}
