/** gRPC by hand over node:http2: one stream of packets, and whatever else a peer may be sent that is not one. */
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import type { Packet } from '../../src/tunnel/packet.ts'
import { decodePacket, encodePacket } from '../../src/tunnel/packet-codec.ts'
import { within } from './deadline.ts'

const PREFIX_BYTES = 5

export type PacketOf<T extends Packet['type']> = Extract<Packet, { readonly type: T }>

export type Wire = {
  readonly send: (...packets: Packet[]) => void
  /** The bytes of one message, whatever they are. */
  readonly sendMessage: (message: Buffer) => void
  readonly sendRaw: (bytes: Buffer) => void
  /** All that came so far. */
  readonly received: readonly Packet[]
  /** Told of each packet as it comes. */
  readonly onPacket: (listener: (packet: Packet) => void) => void
  /** The oldest packet of that type that nobody has asked for yet. */
  readonly next: <T extends Packet['type']>(type: T) => Promise<PacketOf<T>>
}

/** @param compressed the flag of gRPC, which no one has negotiated */
export function grpcMessage(message: Buffer, compressed = 0): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix[0] = compressed
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

export function speakGrpc(stream: ClientHttp2Stream | ServerHttp2Stream): Wire {
  const received: Packet[] = []
  const asked = new Set<Packet>()
  const waiting = new Set<() => void>()
  const listeners: ((packet: Packet) => void)[] = []
  let held: Buffer = Buffer.alloc(0)

  stream.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    while (held.length >= PREFIX_BYTES && held.length >= PREFIX_BYTES + held.readUInt32BE(1)) {
      const end = PREFIX_BYTES + held.readUInt32BE(1)
      const packet = decodePacket(Buffer.from(held.subarray(PREFIX_BYTES, end)))
      held = held.subarray(end)
      received.push(packet)
      for (const tell of listeners) tell(packet)
    }
    for (const look of waiting) look()
  })

  function next<T extends Packet['type']>(type: T): Promise<PacketOf<T>> {
    const { promise, resolve } = Promise.withResolvers<PacketOf<T>>()
    const look = (): void => {
      const packet = received.find((one) => one.type === type && !asked.has(one))
      if (!packet) return
      asked.add(packet)
      waiting.delete(look)
      resolve(packet as PacketOf<T>)
    }
    waiting.add(look)
    look()
    return within(promise, `a packet of type ${type}`).finally(() => waiting.delete(look))
  }

  const sendMessage = (message: Buffer): void => void stream.write(grpcMessage(message))
  return {
    send: (...packets) => packets.forEach((packet) => void sendMessage(encodePacket(packet))),
    sendMessage,
    sendRaw: (bytes) => void stream.write(bytes),
    received,
    onPacket: (listener) => void listeners.push(listener),
    next,
  }
}
