/** The few protobuf writings that packets need. Pure. Source: the protobuf encoding guide. */
import { Buffer } from 'node:buffer'

/** A place to write at; the caller has made sure of the room. */
export type Writer = { readonly bytes: Buffer; at: number }

/** Bytes of an int64 as a varint; negative ones take ten. */
export function bytesOfVarint(value: number | bigint): number {
  if (typeof value === 'bigint' || value < 0) return bytesOfWide(BigInt.asUintN(64, BigInt(value)))
  let count = 1
  for (let rest = value; rest >= 128; rest /= 128) count++
  return count
}

function bytesOfWide(value: bigint): number {
  let count = 1
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) count++
  return count
}

export function writeVarint(writer: Writer, value: number | bigint): void {
  if (typeof value === 'bigint' || value < 0) {
    writeWide(writer, BigInt.asUintN(64, BigInt(value)))
    return
  }
  let rest = value
  while (rest > 0x7fffffff) {
    writer.bytes[writer.at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest > 0x7f) {
    writer.bytes[writer.at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  writer.bytes[writer.at++] = rest
}

function writeWide(writer: Writer, value: bigint): void {
  let rest = value
  while (rest > 0x7fn) {
    writer.bytes[writer.at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  writer.bytes[writer.at++] = Number(rest)
}

export const bytesOfText = (text: string): number => Buffer.byteLength(text, 'utf8')

export function writeText(writer: Writer, text: string): void {
  writer.at += writer.bytes.write(text, writer.at, 'utf8')
}
