/** A client of gRPC mode made by hand over node:http2, which may say and leave unsaid what an honest one never would. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Test } from 'tap'
import { grpcDecoder } from '../../src/tunnel/grpc-messages.ts'
import type { Int64, Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import type { Leaf } from './certificates.ts'
import type { Frontend } from './client.ts'
import { event, within } from './deadline.ts'
import { grpcMessage, type PacketOf } from './wire.ts'
import type { GrpcEnd } from './wire-agent.ts'

const MAX_MESSAGE_BYTES = 8 * 1024 * 1024
/** Node resets streams when it holds more, 10 by default: what waits to be sent counts. MiB. */
const SESSION_MEMORY_MIB = 1024
const BULK_DEADLINE_MS = 120_000

export type WireCall = {
  readonly http: ClientHttp2Session
  readonly stream: ClientHttp2Stream
  readonly send: (...packets: Packet[]) => void
  /** The bytes of one message, whatever they are. */
  readonly sendMessage: (message: Buffer) => void
  readonly sendRaw: (bytes: Buffer) => void
  /** Data, and whether to write on; else after `drain` of the stream. */
  readonly sendData: (id: Int64, bytes: Buffer) => boolean
  /** All packets but data that came so far. */
  readonly received: readonly Packet[]
  /** The oldest packet of that type that nobody has asked for yet. */
  readonly next: <T extends Packet['type']>(type: T) => Promise<PacketOf<T>>
  /** What came for the connection so far. */
  readonly bytesOf: (id: Int64) => Buffer
  /** When so many bytes of the connection have come: all that have. */
  readonly data: (id: Int64, bytes: number) => Promise<Buffer>
  /** Instead of keeping data: each piece as it comes. */
  take: ((id: Int64, bytes: Uint8Array) => void) | undefined
  /** Dials, and gives the connection's id. @throws Error the answer's, if it is one */
  readonly dial: (address: string, random?: Int64) => Promise<Int64>
  /** How the server ended the call. */
  readonly ended: () => Promise<GrpcEnd>
  /** The HTTP/2 stream is closed, in whatever way. */
  readonly closed: Promise<unknown>
}

export type WireCallOptions = {
  readonly path?: string
  readonly headers?: OutgoingHttpHeaders
  /** Leaves its side open when the server has ended its own. */
  readonly lingers?: boolean
}

export const dialRequest = (address: string, random: Int64 = 7, protocol = 'tcp'): Packet => ({
  type: 'DIAL_REQ',
  protocol,
  address,
  random,
})
export const closeRequest = (connectId: Int64): Packet => ({ type: 'CLOSE_REQ', connectId, reason: '' })

/** A bare connection to the frontend, as far as TLS. */
export async function connectGrpcFrontend(
  t: Test,
  server: Frontend,
  leaf: Leaf | 'none' = server.pki.apiserver,
): Promise<Socket> {
  const { transport, socketPath, frontendPort, pki } = server
  const socket =
    transport === 'uds'
      ? connectTcp(socketPath)
      : connectTls({
          host: '127.0.0.1',
          port: frontendPort,
          ca: pki.authority.certificatePem,
          ...(leaf !== 'none' && { cert: leaf.cert, key: leaf.key }),
          ALPNProtocols: ['h2'],
        })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  await event(socket, transport === 'uds' ? 'connect' : 'secureConnect')
  return socket
}

export async function joinFrontend(t: Test, server: Frontend, leaf?: Leaf | 'none'): Promise<ClientHttp2Session> {
  return overHttp2(t, await connectGrpcFrontend(t, server, leaf))
}

export function overHttp2(t: Test, socket: Socket): ClientHttp2Session {
  const http = connectHttp2('http://frontend', { createConnection: () => socket, maxSessionMemory: SESSION_MEMORY_MIB })
  http.on('error', () => undefined)
  t.teardown(() => http.destroy())
  return http
}

export function openCall(http: ClientHttp2Session, options: WireCallOptions = {}): WireCall {
  const stream = http.request({
    ':method': 'POST',
    ':path': options.path ?? '/ProxyService/Proxy',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...options.headers,
  })
  const received: Packet[] = []
  const asked = new Set<Packet>()
  const kept = new Map<Int64, Uint8Array[]>()
  const counts = new Map<Int64, number>()
  const waiting = new Set<() => void>()
  const ended = Promise.withResolvers<GrpcEnd>()
  const look = (): void => {
    for (const one of waiting) one()
  }

  const decode = grpcDecoder(MAX_MESSAGE_BYTES, {
    packet: (packet) => void received.push(packet),
    data(id, bytes) {
      counts.set(id, (counts.get(id) ?? 0) + bytes.length)
      if (call.take) return call.take(id, bytes)
      const pieces = kept.get(id) ?? []
      pieces.push(bytes)
      kept.set(id, pieces)
    },
  })
  const readStatus = (fields: IncomingHttpHeaders): void => {
    const { 'grpc-status': code, 'grpc-message': message = '' } = fields
    if (code !== undefined) ended.resolve({ code: Number(code), message: decodeURIComponent(String(message)) })
  }
  stream.on('response', readStatus)
  stream.on('trailers', readStatus)
  stream.on('data', (chunk: Buffer) => {
    decode(chunk)
    look()
  })
  stream.on('end', () => {
    if (!options.lingers) stream.end()
  })
  stream.on('error', () => undefined)
  const closed = new Promise((resolve) => stream.once('close', resolve))
  stream.on('close', () => {
    ended.reject(new Error(`the call ended without a status, by ${stream.rstCode}`))
    look()
  })
  ended.promise.catch(() => undefined)

  function until<R>(what: string, find: () => R | undefined, deadlineMs?: number): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>()
    const lookNow = (): void => {
      const found = find()
      if (found !== undefined) resolve(found)
      else if (stream.destroyed) reject(new Error(`the call ended, by ${stream.rstCode}, before ${what} came`))
    }
    waiting.add(lookNow)
    lookNow()
    return within(promise, `${what} comes`, deadlineMs).finally(() => waiting.delete(lookNow))
  }

  function next<T extends Packet['type']>(type: T): Promise<PacketOf<T>> {
    return until(`a packet of type ${type}`, () => {
      const packet = received.find((one) => one.type === type && !asked.has(one))
      if (packet) asked.add(packet)
      return packet as PacketOf<T> | undefined
    })
  }

  const bytesOf = (id: Int64): Buffer => Buffer.concat(kept.get(id) ?? [])
  const sendMessage = (message: Buffer): boolean => stream.write(grpcMessage(message))
  const call: WireCall = {
    http,
    stream,
    send: (...packets) => packets.forEach((packet) => void sendMessage(encodePacket(packet))),
    sendMessage: (message) => void sendMessage(message),
    sendRaw: (bytes) => void stream.write(bytes),
    sendData: (connectId, data) => sendMessage(encodePacket({ type: 'DATA', connectId, error: '', data })),
    received,
    next,
    bytesOf,
    data: (id, bytes) =>
      until(
        `${bytes} bytes of connection ${id}`,
        () => ((counts.get(id) ?? 0) >= bytes ? bytesOf(id) : undefined),
        BULK_DEADLINE_MS,
      ),
    take: undefined,
    async dial(address, random = 7) {
      call.send(dialRequest(address, random))
      const { error, connectId, random: answered } = await next('DIAL_RSP')
      if (error !== '') throw new Error(error)
      if (answered !== random) throw new Error(`${answered} is answered instead of ${random}`)
      return connectId
    },
    ended: () => within(ended.promise, 'the end of the call'),
    closed,
  }
  return call
}

/** Sends a text and expects it back, and nothing else. */
export async function echoOver(call: WireCall, id: Int64, text: string): Promise<void> {
  const before = call.bytesOf(id).length
  call.sendData(id, Buffer.from(text))
  const got = (await call.data(id, before + Buffer.byteLength(text))).subarray(before).toString()
  if (got !== text) throw new Error(`expected ${JSON.stringify(text)} back, got ${JSON.stringify(got)}`)
}
