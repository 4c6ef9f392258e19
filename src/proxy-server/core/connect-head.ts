/**
 * The head of a CONNECT request, from the first bytes of an untrusted client. Pure.
 *
 * Source: RFC 9112 sections 2 to 6, RFC 9110 section 9.3.6, docs/protocol.md section 9. What follows the head is the
 * tunnel's data, so every way to disagree about where the head ends is refused: a bare LF or CR, a folded line, a space
 * before the colon, `Transfer-Encoding` and bodies. (Go takes a bare LF; no client in use sends one.)
 *
 * A prefix of a head gives `more` and is read again from its start with the next bytes. That repeats work, but not past
 * `limitBytes`: a client that sends 16 KiB byte by byte costs 20 µs a byte, about what receiving each byte costs anyhow.
 * Bytes once refused stay refused with the same answer, whatever follows them.
 */

import { ipBytes } from '../../platform/ip-address.ts'

/** Why a head was refused: a closed set, fit for a metric's label. */
export type HeadFault =
  | 'body'
  | 'control-byte'
  | 'folded-line'
  | 'line-end'
  | 'malformed'
  | 'method'
  | 'port'
  | 'repeated-host'
  | 'target'
  | 'too-large'
  | 'too-many-fields'
  | 'version'

export type RefusedHead = {
  readonly kind: 'refused'
  /** 502: what konnectivity's agent answers, whom nobody has to ask for it. */
  readonly status: 400 | 405 | 431 | 502 | 505
  readonly why: HeadFault
  /** A sentence for the client; of its own bytes digits only, and with 502 its target, which is printable. */
  readonly detail: string
}

export type Connect = {
  readonly kind: 'connect'
  /** The authority as it was sent, for example "10.0.0.1:443" or "[::1]:80". The Host field has no say. */
  readonly address: string
  /** Without brackets. */
  readonly host: string
  readonly port: number
  readonly version: '1.0' | '1.1'
  /** Where early data starts. */
  readonly headBytes: number
}

export type ConnectHead = Connect | RefusedHead | { readonly kind: 'more' }

const MAX_FIELDS = 100
const MAX_NAME_CHARS = 254 // a DNS name of 253 and its final dot

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) ([!-~]+) HTTP\/(\d)\.(\d)$/
const FIELD_NAME = /^[!#$%&'*+.^_`|~\w-]+$/
/** A reg-name without percent-encoding and sub-delims: no resolver knows such names, and each can be read two ways. */
const NAME = /^[A-Za-z0-9._~-]+$/

/** @param limitBytes longest head taken, its closing empty line included; a longer one is refused when that is known */
export function readConnectHead(bytes: Buffer, limitBytes: number): ConnectHead {
  const seen = bytes.length > limitBytes ? bytes.subarray(0, limitBytes) : bytes
  const first = readLine(seen, 0, limitBytes)
  if (first.kind !== 'line') return first
  const request = readRequestLine(first.text)
  if (request.kind === 'refused') return request
  let hosts = 0
  let lengths = 0
  let next = first.next
  for (let fields = 0; ; fields++) {
    const line = readLine(seen, next, limitBytes)
    if (line.kind !== 'line') return line
    next = line.next
    if (line.text === '') return { ...request, headBytes: next }
    if (fields === MAX_FIELDS) return refused(431, 'too-many-fields', `more than ${MAX_FIELDS} header fields`)
    const field = readField(line.text)
    if (field.kind === 'refused') return field
    if (field.name === 'host') hosts++
    if (hosts > 1) return refused(400, 'repeated-host', 'more than one Host field')
    if (field.name === 'content-length') lengths++
    if (lengths > 1) return refused(400, 'body', 'more than one Content-Length field')
  }
}

type Line = { readonly kind: 'line'; readonly text: string; readonly next: number }

function readLine(seen: Buffer, from: number, limitBytes: number): Line | RefusedHead | { readonly kind: 'more' } {
  const at = controlByteAt(seen, from)
  const isCarriageReturn = seen[at] === CR
  if (at === seen.length || (isCarriageReturn && at + 1 === seen.length)) {
    if (seen.length < limitBytes) return { kind: 'more' }
    return refused(431, 'too-large', `the request head is over the limit of ${limitBytes} bytes`)
  }
  if (isCarriageReturn && seen[at + 1] === LF) {
    return { kind: 'line', text: seen.toString('latin1', from, at), next: at + 2 }
  }
  if (isCarriageReturn || seen[at] === LF) {
    return refused(400, 'line-end', 'each line of the head must end with CR LF: it has one without the other')
  }
  return refused(400, 'control-byte', `byte ${at} of the head is a control byte: expected an HTTP/1.1 CONNECT`)
}

const HTAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const DEL = 127

/** Index of the first byte that cannot be inside a line, or the length when there is none. */
function controlByteAt(seen: Buffer, from: number): number {
  for (let at = from; at < seen.length; at++) {
    const byte = seen[at] as number
    if ((byte < SPACE && byte !== HTAB) || byte === DEL) return at
  }
  return seen.length
}

function readRequestLine(line: string): Omit<Connect, 'headBytes'> | RefusedHead {
  const [, method, target = '', major, minor] = REQUEST_LINE.exec(line) ?? []
  if (method === undefined) return refused(400, 'malformed', 'the first line is not "CONNECT host:port HTTP/1.1"')
  if (major !== '1') {
    const spoken = method === 'PRI' ? 'the client began with HTTP/2' : `the request says HTTP/${major}.${minor}`
    return refused(method === 'PRI' ? 400 : 505, 'version', `this proxy speaks HTTP/1.1 and HTTP/1.0, ${spoken}`)
  }
  if (method !== 'CONNECT') return refused(405, 'method', 'this proxy only supports CONNECT passthrough')
  const authority = readAuthority(target)
  if (authority.kind === 'refused') return authority
  const { host, port } = authority
  return { kind: 'connect', address: target, host, port, version: minor === '0' ? '1.0' : '1.1' }
}

type Authority = { readonly kind: 'authority'; readonly host: string; readonly port: number }

function readAuthority(text: string): Authority | RefusedHead {
  if (text.includes('/')) return refused(400, 'target', 'CONNECT takes host:port, not a URL or a path')
  const colon = text.lastIndexOf(':')
  if (colon === -1 || colon < text.lastIndexOf(']')) {
    return refused(502, 'port', `dial tcp: address ${text}: missing port in address`)
  }
  const portText = text.slice(colon + 1)
  if (/^\d{1,20}$/.test(portText) && Number(portText) > 65535) {
    return refused(502, 'port', `dial tcp: address ${portText}: invalid port`)
  }
  if (!/^[1-9]\d{0,4}$/.test(portText)) {
    const given = /^\d{1,20}$/.test(portText) ? `, got ${portText}` : ''
    return refused(400, 'port', `expected a port from 1 to 65535${given}`)
  }
  const port = Number(portText)
  const named = text.slice(0, colon)
  const host = named.startsWith('[') && named.endsWith(']') ? named.slice(1, -1) : named
  if (host !== named || host.includes(':')) {
    if (host === named) return refused(400, 'target', 'an IPv6 address must be in brackets')
    if (!host.includes(':') || ipBytes(host) === undefined) {
      return refused(400, 'target', 'what is in brackets is not an IPv6 address (zones are not supported)')
    }
  } else if (host.length > MAX_NAME_CHARS || !NAME.test(host)) {
    return refused(400, 'target', 'the host is neither a name nor an IP address')
  }
  return { kind: 'authority', host, port }
}

type Field = { readonly kind: 'field'; readonly name: string }

function readField(line: string): Field | RefusedHead {
  if (line.startsWith(' ') || line.startsWith('\t')) {
    return refused(400, 'folded-line', 'a header line starts with a space: folded lines are not supported')
  }
  const name = line.slice(0, Math.max(0, line.indexOf(':'))).toLowerCase()
  if (!FIELD_NAME.test(name)) return refused(400, 'malformed', 'a header line is not "name: value"')
  if (name === 'transfer-encoding') return refused(400, 'body', 'a CONNECT must not have Transfer-Encoding')
  if (name === 'content-length' && !/^[ \t]*0[ \t]*$/.test(line.slice(name.length + 1))) {
    return refused(400, 'body', 'a CONNECT must not have a body')
  }
  return { kind: 'field', name }
}

function refused(status: RefusedHead['status'], why: HeadFault, detail: string): RefusedHead {
  return { kind: 'refused', status, why, detail }
}
