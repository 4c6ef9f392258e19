/** ClientHellos: of Node's own TLS client, and made piece by piece for what no client at hand sends. */
import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { type ConnectionOptions, connect } from 'node:tls'

/** What Node's client sends first, as it leaves. */
export async function nodeHello(options: ConnectionOptions): Promise<Buffer> {
  const [client, server] = duplexPair()
  const tls = connect({ ...options, socket: client })
  tls.on('error', () => undefined)
  const [bytes] = (await once(server, 'data')) as [Buffer]
  tls.destroy()
  return bytes
}

/** A number of so many bytes, big-endian. */
const number = (value: number, bytes: number): Buffer => {
  const whole = Buffer.alloc(4)
  whole.writeUInt32BE(value)
  return whole.subarray(4 - bytes)
}
/** Behind its own length. */
export const vector = (lengthBytes: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([number(body.length, lengthBytes), body])
}
export const extension = (type: number, body: Buffer): Buffer => Buffer.concat([number(type, 2), vector(2, body)])
export const serverName = (name: string, type = 0): Buffer =>
  extension(0, vector(2, Buffer.from([type]), vector(2, Buffer.from(name, 'latin1'))))
export const alpn = (...protocols: readonly string[]): Buffer =>
  extension(16, vector(2, ...protocols.map((protocol) => vector(1, Buffer.from(protocol, 'latin1')))))

export type Parts = {
  readonly version?: number
  readonly session?: Buffer
  readonly ciphers?: Buffer
  readonly compressions?: Buffer
  /** None: the hello ends before them. */
  readonly extensions?: readonly Buffer[] | undefined
  readonly behind?: Buffer
}

/** The body of a ClientHello. */
export const helloBody = ({
  version = 0x0303,
  session = Buffer.alloc(32, 7),
  ciphers = Buffer.from([0x0a, 0x0a, 0x13, 0x01]), // GREASE first, as browsers do
  compressions = Buffer.from([0]),
  extensions,
  behind = Buffer.alloc(0),
}: Parts): Buffer =>
  Buffer.concat([
    ...[number(version, 2), Buffer.alloc(32, 1), vector(1, session), vector(2, ciphers), vector(1, compressions)],
    ...(extensions ? [vector(2, ...extensions)] : []),
    behind,
  ])

/** With the handshake's header. */
export const handshake = (body: Buffer, type = 1): Buffer =>
  Buffer.concat([Buffer.from([type]), number(body.length, 3), body])

/** In records of so many bytes each. */
export function records(bytes: Buffer, each = 16_384, type = 22): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += each) {
    parts.push(Buffer.from([type, 3, 1]), vector(2, bytes.subarray(at, at + each)))
  }
  return Buffer.concat(parts)
}

export const helloRecords = (parts: Parts, each?: number): Buffer => records(handshake(helloBody(parts)), each)

/** The handshake message inside records. */
export function unwrapped(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 3)
    parts.push(bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return Buffer.concat(parts)
}
