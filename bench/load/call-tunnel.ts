/**
 * One tunnel in gRPC mode, as kube-apiserver has it: an HTTP/2 connection with one call of `ProxyService/Proxy`, a dial on
 * it, then packets. What is written goes out in packets of 32 KiB, the buffer of Go's io.Copy.
 */
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { grpcDecoder, PREFIX_BYTES, writeData } from '../../src/tunnel/grpc-messages.ts'
import type { Int64, Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { NoAnswer } from './control.ts'
import type { Tunnel, TunnelUser } from './tunnel.ts'

const PACKET_BYTES = 32 * 1024
/** Of a DATA packet and its message, whatever the connection id. */
const MOST_HEAD_BYTES = 40
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
/** Go's defaults are 64 KiB and grow by what it measures of the path; fixed here, large enough for loopback. */
const WINDOW_BYTES = 4 * 1024 * 1024
/** As konnectivity's client: a random number names a dial. */
const MOST_RANDOM = 2 ** 48
/** Longest wait for the answer to a close: milliseconds. */
const FAREWELL_MS = 1_000

/** @throws NoAnswer when the tunnel is not open after `deadlineMs`; Error when the dial is refused */
export function openCallTunnel(
  path: string,
  target: string,
  deadlineMs: number,
  { receive, broken }: TunnelUser,
): Promise<Tunnel> {
  const opened = Promise.withResolvers<Tunnel>()
  let connectId: Int64 = 0
  let state: 'opening' | 'open' | 'closed' = 'opening'
  const http = connectHttp2('http://frontend', {
    createConnection: () => connectTcp({ path }),
    settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
  })
  http.once('connect', () => http.setLocalWindowSize(WINDOW_BYTES))
  const stream = http.request({
    ':method': 'POST',
    ':path': '/ProxyService/Proxy',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const late = setTimeout(() => fail(new NoAnswer(`no answer to the dial after ${deadlineMs} ms`)), deadlineMs)
  const decode = grpcDecoder(MAX_MESSAGE_BYTES, {
    packet: take,
    data(_, bytes) {
      if (state !== 'open' || bytes.length === 0) return // a message may have been cut behind its head
      if (!receive(bytes, bytes.length)) stream.pause()
    },
  })
  stream.on('data', (chunk: Buffer) => void decode(chunk))
  stream.on('error', fail)
  http.on('error', fail)
  stream.once('close', () => fail(new Error('the proxy ended the call')))
  send({ type: 'DIAL_REQ', protocol: 'tcp', address: target, random: Math.floor(Math.random() * MOST_RANDOM) })
  return opened.promise

  function take(packet: Packet): void {
    if (packet.type === 'CLOSE_RSP' || packet.type === 'DIAL_CLS') return fail(new Error('the proxy closed the tunnel'))
    if (packet.type !== 'DIAL_RSP') return
    if (packet.error !== '') return fail(new Error(`the dial was refused: ${packet.error}`))
    clearTimeout(late)
    connectId = packet.connectId
    state = 'open'
    opened.resolve({ write, isClosed: () => state === 'closed', close, finish })
  }

  function send(packet: Packet): void {
    const message = encodePacket(packet)
    const prefix = Buffer.alloc(PREFIX_BYTES)
    prefix.writeUInt32BE(message.length, 1)
    stream.write(Buffer.concat([prefix, message]))
  }

  function write(bytes: Uint8Array, taken?: () => void): void {
    const packets = Math.ceil(bytes.length / PACKET_BYTES)
    const writer = { bytes: Buffer.allocUnsafe(bytes.length + packets * MOST_HEAD_BYTES), at: 0 }
    for (let at = 0; at < bytes.length; at += PACKET_BYTES) {
      writeData(writer, connectId, bytes.subarray(at, at + PACKET_BYTES))
    }
    stream.write(writer.bytes.subarray(0, writer.at), taken)
  }

  /** Says so, and hangs up when the proxy has answered or has had its time. */
  function finish(): void {
    clearTimeout(late)
    state = 'closed'
    if (stream.destroyed) return http.destroy()
    send({ type: 'CLOSE_REQ', connectId, reason: '' })
    stream.resume()
    setTimeout(() => http.destroy(), FAREWELL_MS).unref()
  }

  function close(): void {
    if (state === 'open') return finish()
    clearTimeout(late)
    state = 'closed'
    http.destroy()
  }

  function fail(error: Error): void {
    const was = state
    state = 'closed'
    clearTimeout(late)
    http.destroy()
    if (was === 'closed') return
    if (was === 'open') broken(error)
    else opened.reject(error)
  }
}
