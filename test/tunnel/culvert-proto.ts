/** src/tunnel/culvert.proto as protobufjs reads it, and packets to and from its objects: the codec's independent twin. */
import { Buffer } from 'node:buffer'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import type { Packet } from '../../src/tunnel/packet.ts'

export const root = protobuf.loadSync(fileURLToPath(new URL('../../src/tunnel/culvert.proto', import.meta.url)))
export const packetMessage = root.lookupType('Packet')
const { values: codes, valuesById: names } = root.lookupEnum('PacketType')

type Plain = Record<string, unknown>

/** The field of `Packet` that carries the payload of this type: CLOSE_REQ is in closeRequest, HEARTBEAT_ACK in heartbeatAck. */
const payloadNames: Readonly<Record<string, string>> = {
  DIAL_REQ: 'dialRequest',
  DIAL_RSP: 'dialResponse',
  CLOSE_REQ: 'closeRequest',
  CLOSE_RSP: 'closeResponse',
  DIAL_CLS: 'closeDial',
}

export const typeNames = Object.keys(codes)

export const payloadNameOf = (type: string): string =>
  payloadNames[type] ?? type.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

/** The message type that carries the payload of a packet type. */
export function payloadTypeOf(type: string): protobuf.Type {
  const field = packetMessage.fields[payloadNameOf(type)]
  if (!field) throw new Error(`culvert.proto has no payload for ${type}`)
  return root.lookupType(field.type)
}

/** Konnectivity writes connectID, our code connectId. */
export const ourName = (name: string): string => name.replace('connectID', 'connectId')
const theirName = (name: string): string => name.replace('connectId', 'connectID')

const { fromString } = protobuf.util.Long as unknown as { fromString: (digits: string) => unknown }

/** Bytes that protobufjs makes of a packet of ours. */
export function encodeByProtobufjs(packet: Packet): Buffer {
  const { type, ...fields } = packet as { type: string } & Plain
  const payload = toMessage(fields)
  return Buffer.from(
    packetMessage.encode(packetMessage.fromObject({ type: codes[type], [payloadNameOf(type)]: payload })).finish(),
  )
}

function toMessage(fields: Plain): Plain {
  const there = Object.entries(fields).filter(([, value]) => !isEmptyObject(value)) // an empty summary says nothing
  const entries = there.map(([name, value]) => {
    if (typeof value === 'number' || typeof value === 'bigint') return [theirName(name), fromString(value.toString())]
    if (Array.isArray(value)) return [theirName(name), value.map((one) => toMessage(one as Plain))]
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [theirName(name), value]
    return [theirName(name), toMessage(value as Plain)]
  })
  return Object.fromEntries(entries)
}

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && !(value instanceof Uint8Array) && Object.keys(value ?? {}).length === 0

/** What protobufjs reads, in the shape of our packets: all fields there, figures of a health summary only when present. */
export function decodeByProtobufjs(bytes: Uint8Array): Packet {
  const message = packetMessage.decode(bytes) as unknown as Plain
  const type = names[message.type as number]!
  const found = message[payloadNameOf(type)] as Plain | undefined
  return { type, ...fromMessage(payloadTypeOf(type), found ?? {}) } as unknown as Packet
}

function fromMessage(message: protobuf.Type, found: Plain): Plain {
  const plain: Plain = {}
  for (const field of message.fieldsArray) {
    const { name, type } = field
    const isThere = Object.hasOwn(found, name) && found[name] !== null
    if (!isThere && field.options?.proto3_optional) continue
    if (field.repeated) plain[name] = (found[name] as unknown[]).map((one) => value(type, one))
    else plain[ourName(name)] = isThere ? value(type, found[name]) : zeroOf(type)
  }
  return plain
}

function value(type: string, found: unknown): unknown {
  if (type === 'string') return found
  if (type === 'bytes') return Buffer.from(found as Uint8Array)
  if (type !== 'int64') return fromMessage(root.lookupType(type), found as Plain)
  const exact = BigInt((found as { toString: () => string }).toString())
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact
}

function zeroOf(type: string): unknown {
  if (type === 'string') return ''
  if (type === 'bytes') return Buffer.alloc(0)
  return type === 'int64' ? 0 : {}
}
