/**
 * What a ClientHello says of where it wants to go: the server's name and the protocols above. Pure.
 *
 *   2 version, 32 random, <1> session id, <2> cipher suites, <1> compression methods, <2> extensions: (2 type, <2> body)*
 *
 * <n> is a length of n bytes and as many bytes as it says. Whatever is not needed is passed over by its length: GREASE (RFC 8701)
 * and post-quantum key shares are such. With Encrypted Client Hello the name is the public one, of the outer hello (RFC 9849).
 * Source: RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301 section 3.1.
 */
import { Buffer } from 'node:buffer'
import { ALERTS, type Alert } from './alert.ts'
import { hostName } from './host-name.ts'

export type ClientHello = {
  /** In lower case and without a dot at its end; undefined when it names none. */
  readonly name: string | undefined
  /** Byte for byte, as latin1. */
  readonly alpn: readonly string[]
}
export type BrokenHello = { readonly why: string; readonly alert: Alert }

const SERVER_NAME = 0
const ALPN = 16
const HOST_NAME = 0
const TLS_MAJOR = 3
/** Each costs time of the one thread that forwards for all: clients have some 20 extensions and a few protocols. */
const MAX_EXTENSIONS = 256
const MAX_PROTOCOLS = 64

/** @param bytes the handshake message without its header */
export function readClientHello(bytes: Uint8Array): ClientHello | BrokenHello {
  const hello = cursor(bytes)
  const version = hello.take(2)
  hello.take(32)
  const session = hello.vector(1)
  const ciphers = hello.vector(2)
  const compressions = hello.vector(1)
  if (!hello.isGood()) return broken('it ends early')
  if (version[0] !== TLS_MAJOR) return { why: 'its version is none of TLS', alert: ALERTS.protocol_version }
  if (session.length > 32) return broken('its session id is too long')
  if (ciphers.length < 2 || ciphers.length % 2 !== 0) return broken('its cipher suites are none')
  if (compressions.length === 0) return broken('it has no compression method')
  if (hello.left() === 0) return { name: undefined, alpn: [] } // as before there were extensions
  const extensions = cursor(hello.vector(2))
  if (!hello.isGood() || hello.left() > 0) return broken('its extensions are not as long as they say')
  return readExtensions(extensions)
}

function readExtensions(extensions: Cursor): ClientHello | BrokenHello {
  const seen = new Set<number>()
  let name: string | undefined
  let alpn: readonly string[] = []
  while (extensions.left() > 0) {
    const type = extensions.number(2)
    const body = extensions.vector(2)
    if (!extensions.isGood()) return broken('an extension is not as long as it says')
    if (seen.size === MAX_EXTENSIONS) return broken('it has too many extensions')
    if (seen.has(type)) return { why: 'an extension comes twice', alert: ALERTS.illegal_parameter }
    seen.add(type)
    if (type === SERVER_NAME) {
      const read = readServerName(body)
      if (typeof read !== 'string') return read
      name = read
    } else if (type === ALPN) {
      const read = readAlpn(body)
      if ('why' in read) return read
      alpn = read
    }
  }
  return { name, alpn }
}

/** One name of the one type that there is: RFC 6066 forbids a second, and a type of another form could not be passed over. */
function readServerName(body: Uint8Array): string | BrokenHello {
  const whole = cursor(body)
  const entries = cursor(whole.vector(2))
  const type = entries.number(1)
  const name = entries.vector(2)
  if (!whole.isGood() || whole.left() > 0 || !entries.isGood())
    return broken('its server name is not as long as it says')
  if (type !== HOST_NAME || entries.left() > 0) return broken('it names several servers, or one in another way')
  const read = hostName(Buffer.from(name).toString('latin1'))
  return read ?? { why: 'its server name is none of DNS', alert: ALERTS.illegal_parameter }
}

function readAlpn(body: Uint8Array): readonly string[] | BrokenHello {
  const whole = cursor(body)
  const entries = cursor(whole.vector(2))
  const protocols: string[] = []
  while (entries.left() > 0) {
    const protocol = entries.vector(1)
    if (!entries.isGood() || protocol.length === 0) return broken('a protocol of it is not as long as it says')
    if (protocols.length === MAX_PROTOCOLS) return broken('it has too many protocols')
    protocols.push(Buffer.from(protocol).toString('latin1'))
  }
  if (!whole.isGood() || whole.left() > 0 || protocols.length === 0) return broken('its protocols are none')
  return protocols
}

const broken = (why: string): BrokenHello => ({ why, alert: ALERTS.decode_error })

/** Reads on behind what was read. Behind the end there is nothing but the note that it was passed. */
type Cursor = {
  readonly take: (count: number) => Uint8Array
  readonly number: (bytes: number) => number
  /** As many bytes as the number of that size in front of them says. */
  readonly vector: (lengthBytes: number) => Uint8Array
  readonly left: () => number
  readonly isGood: () => boolean
}

function cursor(bytes: Uint8Array): Cursor {
  let at = 0
  let isGood = true
  const take = (count: number): Uint8Array => {
    if (at + count > bytes.length) {
      isGood = false
      at = bytes.length
      return NOTHING
    }
    at += count
    return bytes.subarray(at - count, at)
  }
  const number = (count: number): number => take(count).reduce((sum, byte) => sum * 256 + byte, 0)
  return { take, number, vector: (count) => take(number(count)), left: () => bytes.length - at, isGood: () => isGood }
}

const NOTHING = new Uint8Array(0)
