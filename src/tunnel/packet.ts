/**
 * Tunnel packets to and from protobuf bytes, without the gRPC prefix. Pure: no sockets, no timers.
 *
 *   Packet     08 type | (payload field << 3 | 2) length | payload
 *   DATA       08 04 | 22 length | 08 connectID | 1a length | bytes
 *
 * Fields of value zero are left out, as protobuf 3 does (so DIAL_REQ, type 0, starts with its payload); unknown fields are
 * skipped. Source: culvert.proto beside this file, docs/protocol.md section 2, protobuf encoding.
 */
import { Buffer } from 'node:buffer'
import { TunnelError } from '../platform/errors.ts'
import { type Reader, readBytes, readTag, readText, readVarint, skipField } from './wire-read.ts'
import { bytesOfText, bytesOfVarint, type Writer, writeText, writeVarint } from './wire-write.ts'

/** An int64 of any value: a number where a double holds it exactly, a bigint beyond. */
export type Int64 = number | bigint

/** `int64`: exact; `count`: an int64 that must fit a double exactly; `text`: UTF-8. The number is the field's. */
type Field = readonly [number: number, kind: 'int64' | 'count' | 'text' | 'bytes' | 'health' | 'servers']
type Fields = Readonly<Record<string, Field>>

const healthFields = {
  agentVersion: [1, 'text'],
  uptimeMs: [2, 'count'],
  eventLoopDelayP99Us: [3, 'count'],
  openConnections: [4, 'count'],
  bytesToTargets: [5, 'count'],
  bytesFromTargets: [6, 'count'],
  apiServerReady: [7, 'count'],
  apiServerLatencyMs: [8, 'count'],
  apiServerVersion: [9, 'text'],
  nodes: [10, 'count'],
  readyNodes: [11, 'count'],
  certificateDaysLeft: [12, 'count'],
  pivotPhase: [13, 'text'],
  policyVersion: [14, 'count'],
  roundTripUs: [15, 'count'],
} as const satisfies Fields

const serverFields = {
  id: [1, 'text'],
  address: [2, 'text'],
  serverName: [3, 'text'],
  workers: [4, 'count'],
} as const satisfies Fields

/** Of a list: more than any hub has, and little enough that its longest message costs no memory to speak of. */
const MAX_LISTED = 1_000

/** Per packet: its code in `type`, the field of `Packet` that holds its payload, and the payload's own fields. */
const shapes = {
  DIAL_REQ: { code: 0, payload: 2, fields: { protocol: [1, 'text'], address: [2, 'text'], random: [3, 'int64'] } },
  DIAL_RSP: { code: 1, payload: 3, fields: { error: [1, 'text'], connectId: [2, 'int64'], random: [3, 'int64'] } },
  CLOSE_REQ: { code: 2, payload: 5, fields: { connectId: [1, 'int64'], reason: [64, 'text'] } },
  CLOSE_RSP: { code: 3, payload: 6, fields: { error: [1, 'text'], connectId: [2, 'int64'] } },
  DATA: { code: 4, payload: 4, fields: { connectId: [1, 'int64'], error: [2, 'text'], data: [3, 'bytes'] } },
  DIAL_CLS: { code: 5, payload: 7, fields: { random: [1, 'int64'] } },
  DRAIN: { code: 6, payload: 8, fields: {} },
  WINDOW_UPDATE: { code: 64, payload: 64, fields: { connectId: [1, 'int64'], credit: [2, 'count'] } },
  END_OF_DATA: { code: 65, payload: 65, fields: { connectId: [1, 'int64'], close: [2, 'count'] } },
  HEARTBEAT: { code: 66, payload: 66, fields: { seq: [1, 'count'], sentUnixMs: [2, 'count'], health: [3, 'health'] } },
  HEARTBEAT_ACK: { code: 67, payload: 67, fields: { seq: [1, 'count'], serverUnixMs: [2, 'count'] } },
  GOING_AWAY: {
    code: 68,
    payload: 68,
    fields: { reason: [1, 'text'], deadlineMs: [2, 'count'], reconnectAfterMs: [3, 'count'] },
  },
  SERVERS: { code: 69, payload: 69, fields: { servers: [1, 'servers'] } },
  POLICY: { code: 71, payload: 71, fields: { version: [1, 'text'], rules: [2, 'text'] } },
  POLICY_ACK: {
    code: 72,
    payload: 72,
    fields: { version: [1, 'text'], accepted: [2, 'count'], reason: [3, 'text'] },
  },
  BLOCKED: { code: 73, payload: 73, fields: { connectId: [1, 'int64'] } },
  LANE_OFFER: { code: 74, payload: 74, fields: { lane: [1, 'count'], token: [2, 'bytes'] } },
  MOVE: { code: 75, payload: 75, fields: { connectId: [1, 'int64'], carrier: [2, 'count'] } },
  PING: { code: 76, payload: 76, fields: { nonce: [1, 'int64'] } },
  PONG: { code: 77, payload: 77, fields: { nonce: [1, 'int64'] } },
  LANES_WANTED: { code: 78, payload: 78, fields: { count: [1, 'count'] } },
} as const satisfies Record<string, { readonly code: number; readonly payload: number; readonly fields: Fields }>

type ValueOf<F extends Field> = F[1] extends 'int64'
  ? Int64
  : F[1] extends 'count'
    ? number
    : F[1] extends 'text'
      ? string
      : F[1] extends 'bytes'
        ? Uint8Array
        : F[1] extends 'servers'
          ? readonly ListedServer[]
          : Health
type Payload<S extends Fields> = { readonly [K in keyof S]: ValueOf<S[K]> }

/** The health summary of a HEARTBEAT: a figure that is not known is absent, never zero. */
export type Health = Partial<Payload<typeof healthFields>>
/** A replica, as SERVERS tells of it. */
export type ListedServer = Payload<typeof serverFields>
export type PacketType = keyof typeof shapes
export type Packet =
  | { [T in PacketType]: { readonly type: T } & Payload<(typeof shapes)[T]['fields']> }[PacketType]
  | { readonly type: 'UNKNOWN'; readonly code: number }

/** Packets that went each way, by type: plain numbers, because a metric's label is not looked up for each packet. */
export type PacketCount = {
  readonly sent: Record<Packet['type'], number>
  readonly received: Record<Packet['type'], number>
}

export function createPacketCount(): PacketCount {
  const zeros = Object.fromEntries([...Object.keys(shapes), 'UNKNOWN'].map((type) => [type, 0]))
  return { sent: { ...zeros } as PacketCount['sent'], received: { ...zeros } as PacketCount['received'] }
}

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
  bytes[writer.at++] = shapes.DATA.code
  bytes[writer.at++] = (shapes.DATA.payload << 3) | 2
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
