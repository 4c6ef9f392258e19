/** How a gRPC stream ends: a number and a sentence in the trailers. Pure. Source: gRPC over HTTP/2, "Responses". */
import { TunnelError } from '../../platform/errors.ts'
import type { SessionEvents } from '../../tunnel/session-owner.ts'

const CODES = {
  OK: 0,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

export type GrpcStatus = keyof typeof CODES

/** The status of a stream whose bytes could not be read. Source: grpc-go's texts. */
export function unreadable(error: unknown): Unreadable {
  const code = error instanceof TunnelError ? error.code : undefined
  const message = error instanceof Error ? error.message : String(error)
  if (code === 'message-too-large') {
    const text = `grpc: received message larger than max: ${message}`
    return { status: 'RESOURCE_EXHAUSTED', message: text, how: 'too_large' }
  }
  if (code === 'bad-frame') {
    const text = `grpc: failed to unmarshal the received message: ${message}`
    return { status: 'INTERNAL', message: text, how: 'protocol_error' }
  }
  return { status: 'RESOURCE_EXHAUSTED', message, how: 'protocol_error' }
}

export type Unreadable = {
  readonly status: GrpcStatus
  readonly message: string
  readonly how: 'too_large' | 'protocol_error'
}

/** The status of an agent's stream whose session cannot go on. */
export function brokenSession(reason: Parameters<SessionEvents['broken']>[0]): BrokenSession {
  switch (reason) {
    case 'heartbeat-timeout':
      return { status: 'UNAVAILABLE', message: 'nothing heard from the agent for too long', how: 'heartbeat_timeout' }
    case 'peer-does-not-read':
      return exhausted('the agent does not read what it has to be told')
    case 'too-many-unknown-frames':
      return exhausted('too many frames that mean nothing here')
  }
}

export type BrokenSession = {
  readonly status: GrpcStatus
  readonly message: string
  readonly how: 'heartbeat_timeout' | 'protocol_error'
}

const exhausted = (message: string): BrokenSession => ({ status: 'RESOURCE_EXHAUSTED', message, how: 'protocol_error' })

/** Why a request is no call of the one method of a port; there is no proto package. Source: grpc-go's texts. */
export function unknownMethod(service: string, name: string, path = '', method = 'POST'): string | undefined {
  if (method === 'POST' && path === `/${service}/${name}`) return undefined
  const [, givenService, givenName] = /^\/([^/]+)\/(.*)$/.exec(path) ?? []
  if (givenService === undefined) return `malformed method name: ${JSON.stringify(path)}`
  return givenService === service
    ? `unknown method ${givenName} for service ${service}`
    : `unknown service ${givenService}`
}

/** Why the messages of a call cannot be read: nothing is installed that could be a way into memory. Source: grpc-go's text. */
export function unknownEncoding(encoding = ''): string | undefined {
  if (encoding === '' || encoding === 'identity') return undefined
  return `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`
}

/** Whether the content type of a request is gRPC's, of whatever encoding. */
export const isGrpc = (contentType = ''): boolean => /^application\/grpc($|[+;])/i.test(contentType)

export function grpcStatus(status: GrpcStatus, message: string): Record<string, string> {
  const fields = { 'grpc-status': String(CODES[status]) }
  return message === '' ? fields : { ...fields, 'grpc-message': percentEncode(message) }
}

/** Printable ASCII but for "%", the rest as UTF-8 in percent form. */
function percentEncode(text: string): string {
  return text.toWellFormed().replace(/[^ -$&-~]+/g, encodeURIComponent)
}
