/** HTTP/2 frame by frame, for clients and servers that no library would be. Source: RFC 9113 sections 4 and 6, RFC 7541. */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { eventually } from './deadline.ts'

const TYPES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
] as const
type FrameType = (typeof TYPES)[number]
const HEADER_BYTES = 9
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const END_STREAM = 0x1
export const END_HEADERS = 0x4
const ACK = 0x1

export type Frame = {
  readonly type: FrameType | undefined
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export function frame(type: FrameType, flags = 0, stream = 0, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = TYPES.indexOf(type)
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

export const settings = (ack = false): Buffer => frame('SETTINGS', ack ? ACK : 0)
export const ping = (ack = false, payload: Buffer = Buffer.alloc(8)): Buffer => frame('PING', ack ? ACK : 0, 0, payload)
export const resetStream = (stream: number, code: number): Buffer => frame('RST_STREAM', 0, stream, uint32(code))
export const data = (stream: number, payload: Buffer, flags = 0): Buffer => frame('DATA', flags, stream, payload)

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export type Fields = readonly (readonly [name: string, value: string])[]

/** Of a call of ProxyService/Proxy. */
export const CALL_FIELDS: Fields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/ProxyService/Proxy'],
  [':authority', 'frontend'],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
]

/** Names and values as literals, never indexed. */
export function fieldBlock(fields: Fields): Buffer {
  const text = (value: string): Buffer => Buffer.concat([prefixed(value.length), Buffer.from(value)])
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

/** A length without Huffman coding: RFC 7541 section 5.1, with a prefix of 7 bits. */
function prefixed(length: number): Buffer {
  if (length < 127) return Buffer.from([length])
  const bytes = [127]
  let rest = length - 127
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128)
  return Buffer.from([...bytes, rest])
}

export const headers = (stream: number, fields: Fields, flags = END_HEADERS): Buffer =>
  frame('HEADERS', flags, stream, fieldBlock(fields))
export const callHeaders = (stream: number, flags = 0): Buffer => headers(stream, CALL_FIELDS, END_HEADERS | flags)

export type RawHttp2 = {
  readonly write: (...frames: Buffer[]) => boolean
  /** All that came so far. */
  readonly received: Frame[]
  readonly next: (wanted: (frame: Frame) => boolean) => Promise<Frame>
  readonly socket: Socket
}

/** Says hello as a client does. @param polite answers SETTINGS and PING */
export const speakRawHttp2 = (socket: Socket, { polite = true } = {}): RawHttp2 => speak(socket, 'client', polite)

/** Says hello as a server does, to a client that has connected. @param polite answers SETTINGS and PING */
export const serveRawHttp2 = (socket: Socket, { polite = true } = {}): RawHttp2 => speak(socket, 'server', polite)

function speak(socket: Socket, role: 'client' | 'server', polite: boolean): RawHttp2 {
  const received: Frame[] = []
  let held: Buffer = Buffer.alloc(0)
  let skip = role === 'server' ? PREFACE.length : 0 // what a client says first is no frame
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    if (held.length < skip) return
    held = held.subarray(skip)
    skip = 0
    while (held.length >= HEADER_BYTES && held.length >= HEADER_BYTES + held.readUIntBE(0, 3)) {
      const end = HEADER_BYTES + held.readUIntBE(0, 3)
      take({
        type: TYPES[held[3]!],
        flags: held[4]!,
        stream: held.readUInt32BE(5) & 0x7fffffff,
        payload: Buffer.from(held.subarray(HEADER_BYTES, end)),
      })
      held = held.subarray(end)
    }
  })

  function take(one: Frame): void {
    received.push(one)
    if (!polite || (one.flags & ACK) !== 0) return
    if (one.type === 'SETTINGS') socket.write(settings(true))
    if (one.type === 'PING') socket.write(ping(true, one.payload))
  }

  socket.write(role === 'client' ? Buffer.concat([PREFACE, settings()]) : settings())
  return {
    socket,
    received,
    write: (...frames) => socket.write(Buffer.concat(frames as Uint8Array[])),
    async next(wanted) {
      await eventually('a frame comes', () => received.some(wanted), Boolean)
      return received.find(wanted)!
    },
  }
}

/** Writes it so many times, as fast as it is taken, until the peer hangs up. */
export async function flood({ socket }: RawHttp2, one: Buffer, times: number): Promise<void> {
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const thousand = Buffer.concat(Array.from({ length: 1_000 }, () => one))
  for (let count = 0; count < times && socket.writable; count += 1_000) {
    if (!socket.write(thousand)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
}
