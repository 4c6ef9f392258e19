/** The few protobuf readings that packets need. Pure. Source: the protobuf encoding guide. */
import { Buffer } from 'node:buffer'
import { TunnelError } from '../platform/errors.ts'

/** A place in a message; `end` is one past the last byte that belongs to it. */
export type Reader = { readonly bytes: Uint8Array; at: number; readonly end: number }

/** Deepest nesting of groups that is skipped. Groups are long out of use; a peer that nests deeper is hostile. */
const MAX_GROUP_DEPTH = 16

/**
 * An unsigned varint of up to 64 bits: a number below 2^53, a bigint from there on.
 *
 * @throws TunnelError `bad-frame` when it does not end within the message or within 10 bytes
 */
export function readVarint(reader: Reader): number | bigint {
  const { bytes } = reader
  let value = 0
  let scale = 1
  for (let count = 0; count < 7; count++) {
    const byte = next(reader, bytes)
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 128
  }
  let wide = BigInt(value)
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = next(reader, bytes)
    wide |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) {
      const exact = BigInt.asUintN(64, wide)
      return exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : exact
    }
  }
  throw new TunnelError('bad-frame', 'a varint is longer than 10 bytes')
}

function next(reader: Reader, bytes: Uint8Array): number {
  if (reader.at >= reader.end) throw new TunnelError('bad-frame', 'a packet ends in the middle of a varint')
  return bytes[reader.at++]!
}

/** Field number << 3 | wire type. */
export function readTag(reader: Reader): number {
  const tag = readVarint(reader)
  if (typeof tag === 'bigint' || tag > 0xffffffff || tag < 8) {
    throw new TunnelError('bad-frame', `${tag} is no protobuf tag`)
  }
  return tag >>> 0
}

/** A reader of the bytes of a length-delimited field; moves past it. */
export function readBytes(reader: Reader): Reader {
  const length = readVarint(reader)
  if (length > reader.end - reader.at) {
    throw new TunnelError('bad-frame', `a field of ${length} bytes is longer than its packet`)
  }
  const at = reader.at
  reader.at += Number(length)
  return { bytes: reader.bytes, at, end: reader.at }
}

/** UTF-8; bytes that are not become U+FFFD. */
export function readText(reader: Reader): string {
  const { bytes, at, end } = readBytes(reader)
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString('utf8')
}

/** Moves past a field that is of no interest. */
export function skipField(reader: Reader, tag: number, depth = 0): void {
  switch (tag & 7) {
    case 0:
      readVarint(reader)
      return
    case 1:
      skipBytes(reader, 8)
      return
    case 2:
      readBytes(reader)
      return
    case 3:
      skipGroup(reader, tag >>> 3, depth + 1)
      return
    case 5:
      skipBytes(reader, 4)
      return
    default:
      throw new TunnelError('bad-frame', `wire type ${tag & 7} in field ${tag >>> 3}`)
  }
}

function skipBytes(reader: Reader, count: number): void {
  if (reader.end - reader.at < count) throw new TunnelError('bad-frame', 'a packet ends in the middle of a field')
  reader.at += count
}

function skipGroup(reader: Reader, field: number, depth: number): void {
  if (depth > MAX_GROUP_DEPTH) throw new TunnelError('bad-frame', `groups nested deeper than ${MAX_GROUP_DEPTH}`)
  for (;;) {
    const tag = readTag(reader)
    if ((tag & 7) === 4) {
      if (tag >>> 3 !== field) throw new TunnelError('bad-frame', 'a group ends that did not begin')
      return
    }
    skipField(reader, tag, depth)
  }
}
