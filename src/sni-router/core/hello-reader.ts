/**
 * Finds the ClientHello at the beginning of a connection, however it was cut into records and reads, and says what the client
 * asks for. Pure. Each byte is looked at once, so that records of one byte cost no more than others.
 *
 *   record     byte 0     1..2      3..4     5..
 *              type 22 |  3, any  | length | part of the handshake, at least 1 byte, at most 2^14
 *   handshake  byte 0     1..3     4..
 *              type 1   | length | the ClientHello: client-hello.ts
 *
 * Source: RFC 8446 sections 4 and 5.1.
 */
import { ALERTS, type Alert } from './alert.ts'
import { type ClientHello, readClientHello } from './client-hello.ts'
import { growingBytes } from './growing-bytes.ts'

/** Longest ClientHello: bytes. With post-quantum key shares they have about 2,000, with all that there is some 10,000. */
export const MAX_HELLO_BYTES = 16_384
/** Most bytes on the wire until it is complete: whoever cuts it into tiny records sends six bytes for one. */
export const MAX_HELLO_WIRE_BYTES = 32_768
/** RFC 8446 section 5.1: `TLSPlaintext.length`. */
const MAX_RECORD_BYTES = 16_384
const RECORD_HEADER_BYTES = 5
const HANDSHAKE_HEADER_BYTES = 4
const HANDSHAKE_RECORD = 22
const CLIENT_HELLO = 1
const TLS_MAJOR = 3

/** Why a connection is not one that can be routed. */
export type HelloFault =
  | 'not-tls' // neither TLS nor anything below
  | 'http' // a request in clear
  | 'sslv2'
  | 'malformed'
  | 'too-large'
export type Sniff =
  | { readonly kind: 'more' } // so far the beginning of a ClientHello: read on
  | { readonly kind: 'hello'; readonly hello: ClientHello }
  /** `alert`: where TLS was spoken, or what came before it. */
  | { readonly kind: 'refused'; readonly fault: HelloFault; readonly why: string; readonly alert?: Alert }

const more: Sniff = { kind: 'more' }

/** Gives the function that takes the next bytes. What it answers besides `more` is for good: do not ask again. */
export function helloReader(): (piece: Uint8Array) => Sniff {
  const header = new Uint8Array(RECORD_HEADER_BYTES)
  let headerBytes = 0
  let recordLeft = 0
  let wireBytes = 0
  const handshake = growingBytes()

  return (piece) => {
    for (let at = 0; at < piece.length; ) {
      if (recordLeft === 0) {
        header[headerBytes++] = piece[at++]!
        wireBytes++
        const fault = headerFault(header, headerBytes)
        if (fault) return fault
        if (headerBytes < RECORD_HEADER_BYTES) continue
        recordLeft = header[3]! * 256 + header[4]!
        headerBytes = 0
        continue
      }
      const part = piece.subarray(at, at + recordLeft)
      handshake.add(part)
      at += part.length
      recordLeft -= part.length
      wireBytes += part.length
      const found = lookAt(handshake.view())
      if (found.kind !== 'more') return found
      if (wireBytes > MAX_HELLO_WIRE_BYTES)
        return refused('too-large', 'it comes in too many records', ALERTS.decode_error)
    }
    return more
  }
}

/** Judged by each byte of it as it comes: whoever speaks something else may be waiting for an answer. */
function headerFault(header: Uint8Array, bytes: number): Sniff | undefined {
  const [type = 0, major, , high = 0, low = 0] = header
  if (type !== HANDSHAKE_RECORD) {
    if (type === 0x80 && bytes < 3) return undefined // a first record of SSLv2 says three bytes later what it is
    if (type === 0x80 && header[2] === CLIENT_HELLO) return refused('sslv2', 'it speaks SSLv2', ALERTS.protocol_version)
    if (type >= 65 && type <= 90) return refused('http', 'it speaks a protocol of text, such as HTTP in clear')
    return refused('not-tls', 'it does not speak TLS')
  }
  if (bytes >= 2 && major !== TLS_MAJOR) return refused('not-tls', 'it does not speak TLS')
  if (bytes < RECORD_HEADER_BYTES) return undefined
  const length = high * 256 + low
  if (length === 0) return refused('malformed', 'a record is empty', ALERTS.unexpected_message)
  if (length > MAX_RECORD_BYTES) return refused('malformed', 'a record is too long', ALERTS.record_overflow)
  return undefined
}

function lookAt(bytes: Uint8Array): Sniff {
  const [type, high = 0, middle = 0, low = 0] = bytes
  if (type !== CLIENT_HELLO)
    return refused('malformed', 'it does not begin with a ClientHello', ALERTS.unexpected_message)
  if (bytes.length < HANDSHAKE_HEADER_BYTES) return more
  const length = high * 65_536 + middle * 256 + low
  if (length > MAX_HELLO_BYTES)
    return refused('too-large', `a ClientHello of ${length} bytes`, ALERTS.illegal_parameter)
  const end = HANDSHAKE_HEADER_BYTES + length
  if (bytes.length < end) return more
  const read = readClientHello(bytes.subarray(HANDSHAKE_HEADER_BYTES, end))
  return 'why' in read ? refused('malformed', read.why, read.alert) : { kind: 'hello', hello: read }
}

function refused(fault: HelloFault, why: string, alert?: Alert): Sniff {
  return { kind: 'refused', fault, why, ...(alert !== undefined && { alert }) }
}
