/**
 * Tunnel packets to and from protobuf bytes, without the gRPC prefix. Pure: no sockets, no timers.
 *
 *   Packet     08 type | (payload field << 3 | 2) length | payload
 *   DATA       08 04 | 22 length | 08 connectID | 1a length | bytes
 *
 * Fields of value zero are left out, as protobuf 3 does (so DIAL_REQ, type 0, starts with its payload); unknown fields are
 * skipped. The tables of them: packet.ts. Source: docs/protocol.md section 2, protobuf encoding.
 */
import { Buffer } from 'node:buffer'
import { TunnelError } from '../platform/errors.ts'
import {
  type Field,
  type Fields,
  type Health,
  healthFields,
  type Int64,
  type ListedServer,
  type Packet,
  type PacketType,
  serverFields,
  shapes,
} from './packet.ts'
import { type Reader, readBytes, readTag, readText, readVarint, skipField } from './wire-read.ts'
import { bytesOfText, bytesOfVarint, type Writer, writeText, writeVarint } from './wire-write.ts'

/** Of a list: more than any hub has, and little enough that its longest message costs no memory to speak of. */
const MAX_LISTED = 1_000

type Shape = { readonly type: PacketType; readonly code: number; readonly payload: number; readonly fields: FieldList }
type FieldList = readonly { readonly name: string; readonly number: number; readonly kind: Field[1] }[]
type Values = Record<string, Int64 | string | Uint8Array | Health | readonly ListedServer[] | undefined>

const listOf = (fields: Fields): FieldList =>
  Object.entries(fields).map(([name, [number, kind]]) => ({ name, number, kind }))
const healthList = listOf(healthFields)
const serverList = listOf(serverFields)
const byCode = new Map<number, Shape>()
const byType = new Map<string, Shape>()
for (const [type, { code, payload, fields }] of Object.entries(shapes)) {
  const shape: Shape = { type: type as PacketType, code, payload, fields: listOf(fields) }
  byCode.set(code, shape)
  byType.set(type, shape)
}
const dataShape = shapes.DATA

/**
 * One message to a packet. A type that is not in culvert.proto gives `UNKNOWN`; a payload that is missing reads as zeros.
 * Byte fields are views of the message: copy one before keeping it.
 *
 * @throws TunnelError `bad-frame`: not protobuf, or a count beyond 2^53
 */
export function decodePacket(message: Uint8Array): Packet {
  const reader: Reader = { bytes: message, at: 0, end: message.length }
  let code = 0
  const payloads = new Map<number, Reader>()
  while (reader.at < reader.end) {
    const tag = readTag(reader)
    if (tag === 1 << 3 && reader.at < reader.end) code = Number(BigInt.asIntN(32, BigInt(readVarint(reader))))
    else if ((tag & 7) === 2) payloads.set(tag >>> 3, readBytes(reader))
    else skipField(reader, tag)
  }
  const shape = byCode.get(code)
  if (!shape) return { type: 'UNKNOWN', code }
  const values: Values = { type: shape.type }
  setEmpty(values, shape.fields)
  const payload = payloads.get(shape.payload)
  if (payload) readFields(payload, shape.fields, values)
  return values as unknown as Packet
}

function setEmpty(values: Values, fields: FieldList): void {
  for (const { name, kind } of fields) values[name] = emptyOf(kind)
}

function emptyOf(kind: Field[1]): Values[string] {
  if (kind === 'text') return ''
  if (kind === 'bytes') return Buffer.alloc(0)
  if (kind === 'health') return {}
  if (kind === 'servers') return []
  return 0
}

function readFields(reader: Reader, fields: FieldList, into: Values): void {
  while (reader.at < reader.end) {
    const tag = readTag(reader)
    const field = fields.find(({ number }) => number === tag >>> 3)
    if (field === undefined || (tag & 7) !== wireTypeOf(field.kind)) skipField(reader, tag)
    else if (field.kind === 'servers') (into[field.name] as ListedServer[]).push(readListed(reader, into[field.name]))
    else into[field.name] = readValue(reader, field.kind)
  }
}

function readListed(reader: Reader, before: Values[string]): ListedServer {
  if ((before as readonly ListedServer[]).length >= MAX_LISTED) {
    throw new TunnelError('bad-frame', `a list of more than ${MAX_LISTED}`)
  }
  const server: Values = {}
  setEmpty(server, serverList)
  readFields(readBytes(reader), serverList, server)
  return server as unknown as ListedServer
}

function readValue(reader: Reader, kind: Field[1]): Values[string] {
  switch (kind) {
    case 'text':
      return readText(reader)
    case 'bytes': {
      const { bytes, at, end } = readBytes(reader)
      return bytes.subarray(at, end)
    }
    case 'health': {
      const health: Values = {}
      readFields(readBytes(reader), healthList, health)
      return health as Health
    }
    case 'int64':
      return signed(readVarint(reader))
    default: {
      const value = signed(readVarint(reader))
      if (typeof value === 'bigint') throw new TunnelError('bad-frame', `a count of ${value} is out of range`)
      return value
    }
  }
}

/** The 64 bits of a varint as an int64. */
function signed(value: Int64): Int64 {
  if (typeof value === 'number') return value
  const exact = BigInt.asIntN(64, value)
  return exact >= BigInt(Number.MIN_SAFE_INTEGER) && exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : exact
}

const wireTypeOf = (kind: Field[1]): number => (kind === 'int64' || kind === 'count' ? 0 : 2)

/** Bytes that `writePacket` will take. */
export function packetBytes(packet: Packet): number {
  const shape = shapeOf(packet)
  const payload = fieldsBytes(packet as unknown as Values, shape.fields, false)
  return (
    (shape.code === 0 ? 0 : 1 + bytesOfVarint(shape.code)) + tagBytes(shape.payload) + bytesOfVarint(payload) + payload
  )
}

/** Writes the packet at the writer's place, which must have `packetBytes` left. */
export function writePacket(writer: Writer, packet: Packet): void {
  const shape = shapeOf(packet)
  const values = packet as unknown as Values
  if (shape.code !== 0) {
    writeVarint(writer, 1 << 3)
    writeVarint(writer, shape.code)
  }
  writeVarint(writer, (shape.payload << 3) | 2)
  writeVarint(writer, fieldsBytes(values, shape.fields, false))
  writeFields(writer, values, shape.fields, false)
}

export function encodePacket(packet: Packet): Buffer {
  const bytes = Buffer.allocUnsafe(packetBytes(packet))
  writePacket({ bytes, at: 0 }, packet)
  return bytes
}

/** Bytes of a DATA packet before its payload, which ends the packet. */
export function dataHeadBytes(connectId: Int64, length: number): number {
  const inner = 1 + bytesOfVarint(connectId) + 1 + bytesOfVarint(length) + length
  return 2 + 1 + bytesOfVarint(inner) + inner - length
}

/** Writes what stands before the payload of a DATA packet; the payload follows it directly. */
export function writeDataHead(writer: Writer, connectId: Int64, length: number): void {
  const { bytes } = writer
  bytes[writer.at++] = 1 << 3
  bytes[writer.at++] = dataShape.code
  bytes[writer.at++] = (dataShape.payload << 3) | 2
  writeVarint(writer, 1 + bytesOfVarint(connectId) + 1 + bytesOfVarint(length) + length)
  bytes[writer.at++] = 1 << 3
  writeVarint(writer, connectId)
  bytes[writer.at++] = (3 << 3) | 2
  writeVarint(writer, length)
}

function shapeOf(packet: Packet): Shape {
  const shape = byType.get(packet.type)
  if (!shape) throw new TunnelError('bad-frame', `a packet of type ${packet.type} cannot be sent`)
  return shape
}

const tagBytes = (field: number): number => bytesOfVarint((field << 3) | 2)

/** @param present whether zero is written too: the fields of a health summary are there or not, whatever their value */
function fieldsBytes(values: Values, fields: FieldList, present: boolean): number {
  let sum = 0
  for (const { name, number, kind } of fields) {
    const value = values[name]
    if (Array.isArray(value)) for (const one of value) sum += tagBytes(number) + listedBytes(one)
    else if (value !== undefined && (present || !isEmpty(value, kind)))
      sum += tagBytes(number) + valueBytes(value, kind)
  }
  return sum
}

function listedBytes(server: Values): number {
  const length = fieldsBytes(server, serverList, false)
  return bytesOfVarint(length) + length
}

function writeListed(writer: Writer, number: number, servers: readonly Values[]): void {
  for (const server of servers) {
    writeVarint(writer, (number << 3) | 2)
    writeVarint(writer, fieldsBytes(server, serverList, false))
    writeFields(writer, server, serverList, false)
  }
}

function valueBytes(value: NonNullable<Values[string]>, kind: Field[1]): number {
  if (typeof value === 'number' || typeof value === 'bigint') return bytesOfVarint(value)
  const length = lengthOf(value, kind)
  return bytesOfVarint(length) + length
}

function lengthOf(value: NonNullable<Values[string]>, kind: Field[1]): number {
  if (typeof value === 'string') return bytesOfText(value)
  return kind === 'bytes' ? (value as Uint8Array).length : fieldsBytes(value as Values, healthList, true)
}

function writeFields(writer: Writer, values: Values, fields: FieldList, present: boolean): void {
  for (const { name, number, kind } of fields) {
    const value = values[name]
    if (Array.isArray(value)) writeListed(writer, number, value)
    if (value === undefined || kind === 'servers' || (!present && isEmpty(value, kind))) continue
    writeVarint(writer, (number << 3) | wireTypeOf(kind))
    if (typeof value === 'number' || typeof value === 'bigint') {
      writeVarint(writer, value)
      continue
    }
    writeVarint(writer, lengthOf(value, kind))
    if (typeof value === 'string') writeText(writer, value)
    else if (kind === 'health') writeFields(writer, value as Values, healthList, true)
    else {
      writer.bytes.set(value as Uint8Array, writer.at)
      writer.at += (value as Uint8Array).length
    }
  }
}

function isEmpty(value: NonNullable<Values[string]>, kind: Field[1]): boolean {
  if (kind === 'int64' || kind === 'count') return value === 0 || value === 0n
  return lengthOf(value, kind) === 0
}
