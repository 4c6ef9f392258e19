/**
 * What a client of the CONNECT frontend is answered, byte for byte. Pure.
 *
 * Statuses, header fields and bodies are those of konnectivity v0.36.0, with two additions (docs/protocol.md section 9):
 * the reason phrase tells what happened, because it is all that kube-apiserver shows to its user, and errors carry
 * `Proxy-Status` (RFC 9209). The connection ends after every answer but `established`; that end ends the body.
 */

import type { RefusedHead } from './connect-head.ts'

/** Success. Kept apart from the target's first bytes: kube-apiserver refuses a 200 with data behind it. */
export const established: Buffer = Buffer.from('HTTP/1.1 200 Connection Established\r\n\r\n')

export type Failure =
  | RefusedHead
  | { readonly kind: 'slow-head' }
  /** @param cause why the client's certificate is not accepted */
  | { readonly kind: 'forbidden'; readonly cause: string }
  | { readonly kind: 'no-agent' }
  | { readonly kind: 'too-many-dials' }
  /** Its cluster is at a limit of its own. */
  | { readonly kind: 'cluster-limit'; readonly status: 429 | 503; readonly text: string }
  /** The hub's policy of the cluster does not allow it. */
  | { readonly kind: 'denied'; readonly text: string }
  /** The agent answered that it could not connect. `text` is the agent's: not to be trusted. */
  | { readonly kind: 'dial-error'; readonly text: string }
  /** The agent answered nothing in time. */
  | { readonly kind: 'dial-timeout' }
  /** The agent's stream ended while the dial was pending. */
  | { readonly kind: 'agent-lost'; readonly cause: string }

export function answer(failure: Failure): Buffer {
  const { status, error, body, reason = body, fields = [CLOSE, TEXT_UTF8] } = describe(failure)
  const phrase = reasonPhrase(reason) || STANDARD_PHRASE[status]
  const proxyStatus = `Proxy-Status: culvert; error=${error}; details=${structuredString(phrase)}`
  return Buffer.from([`HTTP/1.1 ${status} ${phrase}`, ...fields, proxyStatus, '', body].join('\r\n'))
}

const MAX_REASON_BYTES = 200
const MAX_BODY_CHARS = 4096 // of an agent's error text, which may be as long as a packet

const STANDARD_PHRASE = {
  400: 'Bad Request',
  403: 'Forbidden',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
} as const

/** The types of RFC 9209 section 2.3 that a tunnel can tell apart. */
type ProxyError =
  | 'connection_limit_reached'
  | 'connection_refused'
  | 'connection_terminated'
  | 'connection_timeout'
  | 'destination_ip_prohibited'
  | 'destination_ip_unroutable'
  | 'destination_unavailable'
  | 'dns_error'
  | 'dns_timeout'
  | 'http_request_denied'
  | 'http_request_error'
  | 'proxy_internal_error'

type Description = {
  readonly status: keyof typeof STANDARD_PHRASE
  readonly error: ProxyError
  readonly body: string
  /** What the status line says, where that is not the body. */
  readonly reason?: string
  readonly fields?: readonly string[]
}

const CLOSE = 'Connection: close'
const TEXT = 'Content-Type: text/plain'
const TEXT_UTF8 = `${TEXT}; charset=utf-8`

function describe(failure: Failure): Description {
  switch (failure.kind) {
    case 'refused':
      if (failure.status === 405) return methodNotAllowed(failure.detail)
      if (failure.status === 502) return noTarget(failure.detail)
      return badRequest(failure.status, failure.detail)
    case 'slow-head':
      return badRequest(408, 'the request head did not arrive in time')
    case 'forbidden':
      return { ...ownWords(403, `client certificate not accepted: ${failure.cause}`), error: 'http_request_denied' }
    case 'no-agent': {
      const body = 'currently no tunnels available: No agent available'
      return { status: 500, error: 'destination_unavailable', body, fields: [TEXT] }
    }
    case 'too-many-dials': {
      const fields = [CLOSE, TEXT_UTF8, 'Retry-After: 1']
      return { ...ownWords(503, 'too many dials are pending'), error: 'connection_limit_reached', fields }
    }
    case 'cluster-limit': {
      const fields = [CLOSE, TEXT_UTF8, 'Retry-After: 1']
      return { ...ownWords(failure.status, failure.text), error: 'connection_limit_reached', fields }
    }
    case 'denied':
      return { ...ownWords(403, failure.text), error: 'http_request_denied' }
    case 'dial-error':
      return readDialError(failure.text)
    case 'dial-timeout':
      return agentSilent('Backend dial timeout: timed out waiting for backend dial\r\n')
    case 'agent-lost':
      return agentLost(`Backend context error: ${failure.cause}\r\n`)
  }
}

/** As Go's HTTP server words an error that may be shown: "Bad Request: why", and the same behind the number as body. */
function ownWords(status: Description['status'], detail: string): Pick<Description, 'status' | 'body' | 'reason'> {
  const reason = `${STANDARD_PHRASE[status]}: ${detail}`
  return { status, reason, body: `${status} ${reason}` }
}

/** The body is that of Go's HTTP server, which says no more of a bad request. */
function badRequest(status: 400 | 408 | 431 | 505, detail: string): Description {
  const body = `${status} ${STANDARD_PHRASE[status]}${status === 505 ? ': unsupported protocol version' : ''}`
  return { ...ownWords(status, detail), body, error: 'http_request_error', fields: [TEXT_UTF8, CLOSE] }
}

function noTarget(detail: string): Description {
  return { status: 502, error: 'http_request_error', body: detail.slice(0, MAX_BODY_CHARS) }
}

function methodNotAllowed(detail: string): Description {
  const body = `${detail}\n`
  const length = `Content-Length: ${Buffer.byteLength(body)}`
  const fields = [TEXT_UTF8, 'X-Content-Type-Options: nosniff', 'Allow: CONNECT', CLOSE, length]
  return { status: 405, error: 'http_request_error', body, reason: STANDARD_PHRASE[405], fields }
}

function agentLost(body: string): Description {
  return { status: 502, error: 'connection_terminated', body, fields: [TEXT_UTF8] }
}

function agentSilent(body: string): Description {
  return { status: 504, error: 'connection_timeout', body, fields: [TEXT_UTF8] }
}

/** An agent tells by Go's error text what went wrong: the status by the reference's own substrings, in its order. */
function readDialError(text: string): Description {
  const body = text.slice(0, MAX_BODY_CHARS)
  const lower = body.toLowerCase()
  const says = (part: string): boolean => lower.includes(part)
  if (says('timeout') || says('deadline exceeded')) {
    return { status: 504, error: says('lookup ') ? 'dns_timeout' : 'connection_timeout', body }
  }
  if (says('too many open files')) return { status: 503, error: 'proxy_internal_error', body }
  const error = DIAL_ERRORS.find(([part]) => says(part))?.[1] ?? 'destination_unavailable'
  return { status: 502, error, body }
}

/** Not told apart by status. First match wins; "not allowed" is our own agent's word for its policy. */
const DIAL_ERRORS: readonly (readonly [part: string, error: ProxyError])[] = [
  ['lookup ', 'dns_error'],
  ['connection refused', 'connection_refused'],
  ['connection reset', 'connection_terminated'],
  ['network is unreachable', 'destination_ip_unroutable'],
  ['no route to host', 'destination_ip_unroutable'],
  ['not allowed', 'destination_ip_prohibited'],
]

/** Printable ASCII on one line, from text that another program wrote. */
function reasonPhrase(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[^ -~]/g, '?')
    .slice(0, MAX_REASON_BYTES)
}

/** RFC 8941 section 3.3.3. */
function structuredString(printable: string): string {
  return `"${printable.replace(/["\\]/g, '\\$&')}"`
}
