/**
 * Peers that know konnectivity's protocol and no other, by @grpc/grpc-js and protobufjs: nothing of ours is in them. They
 * keep what they do not understand, which must stay empty.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  makeGenericClientConstructor,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { within } from './deadline.ts'

/** As protobufjs gives it with `longs: String` and `enums: String`; the fields of other types are absent. */
export type StockPacket = {
  readonly type: string
  readonly dialRequest?: { readonly protocol: string; readonly address: string; readonly random: string }
  readonly dialResponse?: { readonly error: string; readonly connectID: string; readonly random: string }
  readonly data?: { readonly connectID: string; readonly data: Buffer }
  readonly closeRequest?: { readonly connectID: string }
  readonly closeResponse?: { readonly error: string; readonly connectID: string }
  readonly closeDial?: { readonly random: string }
  readonly drain?: Record<string, never>
}

const { root } = protobuf.parse(readFileSync(join(import.meta.dirname, 'konnectivity.proto'), 'utf8'), {
  keepCase: true,
})
const packetType = root.lookupType('Packet')
const form = { longs: String, enums: String, defaults: true, oneofs: false }

/** 64-bit numbers go in and come out as texts. */
const serialize = (packet: object): Buffer => Buffer.from(packetType.encode(packetType.fromObject(packet)).finish())
const deserialize = (bytes: Buffer): StockPacket =>
  packetType.toObject(packetType.decode(bytes), { ...form, defaults: false }) as StockPacket

export const agentService: ServiceDefinition = {
  Connect: {
    path: '/AgentService/Connect',
    requestStream: true,
    responseStream: true,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  },
}

const proxyService: ServiceDefinition = {
  Proxy: { ...agentService.Connect!, path: '/ProxyService/Proxy' },
}

export const AgentClient = makeGenericClientConstructor(agentService, 'AgentService')

export const FrontendClient = makeGenericClientConstructor(proxyService, 'ProxyService')

type Call = ClientDuplexStream<object, StockPacket> | ServerDuplexStream<StockPacket, object>

export type Stock = {
  /** Instead of keeping packets: each as it comes. */
  take: ((packet: StockPacket) => void) | undefined
  readonly send: (...packets: object[]) => void
  /** All that came so far. */
  readonly received: readonly StockPacket[]
  /** The oldest packet with that field that nobody has asked for yet. */
  readonly next: <K extends keyof StockPacket>(field: K) => Promise<NonNullable<StockPacket[K]>>
  /** Payload bytes of the connection up to now. */
  readonly dataOf: (connectID: string) => Buffer
  /** Packets of types that konnectivity does not have, and packets without the payload of their type. */
  readonly strange: () => StockPacket[]
}

const FIELDS: Readonly<Record<string, keyof StockPacket>> = {
  DIAL_REQ: 'dialRequest',
  DIAL_RSP: 'dialResponse',
  CLOSE_REQ: 'closeRequest',
  CLOSE_RSP: 'closeResponse',
  DATA: 'data',
  DIAL_CLS: 'closeDial',
  DRAIN: 'drain',
}

export function speakStock(call: Call): Stock {
  const received: StockPacket[] = []
  const asked = new Set<StockPacket>()
  const waiting = new Set<() => void>()
  ;(call as ClientReadableStream<StockPacket>).on('data', (packet: StockPacket) => {
    if (stock.take) return stock.take(packet)
    received.push(packet)
    for (const look of waiting) look()
  })
  call.on('error', () => undefined)

  const stock: Stock = {
    take: undefined,
    send: (...packets) =>
      packets.forEach((packet) => void (call as ClientDuplexStream<object, StockPacket>).write(packet)),
    received,
    next(field) {
      const { promise, resolve } = Promise.withResolvers<NonNullable<StockPacket[typeof field]>>()
      const look = (): void => {
        const packet = received.find((one) => one[field] !== undefined && !asked.has(one))
        if (!packet) return
        asked.add(packet)
        waiting.delete(look)
        resolve(packet[field]!)
      }
      waiting.add(look)
      look()
      return within(promise, `a packet with ${field}`).finally(() => waiting.delete(look))
    },
    dataOf: (connectID) =>
      Buffer.concat(received.flatMap(({ data }) => (data?.connectID === connectID ? [data.data] : []))),
    strange: () =>
      received.filter((packet) => {
        const field = FIELDS[packet.type ?? 'DIAL_REQ']
        return field === undefined || packet[field] === undefined
      }),
  }
  return stock
}
