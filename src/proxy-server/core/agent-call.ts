/**
 * Whether a request on the agent port is the call by which an agent connects, as far as its headers say. Pure.
 * Source: docs/protocol.md sections 1 and 9.
 */
import { type GrpcStatus, unknownEncoding, unknownMethod } from './grpc-status.ts'
import { headerListBytes, valuesOf } from './registration.ts'

export type RequestHead = {
  readonly path: string | undefined
  readonly method: string | undefined
  /** Names and values in turn, as node:http2 gives them. */
  readonly rawHeaders: readonly string[]
}

export type NoCall = {
  readonly why: 'metadata' | 'unknown_method' | 'encoding'
  readonly status: GrpcStatus
  readonly text: string
}

/** Why it is none; undefined: it is one. */
export function noAgentCall({ path, method, rawHeaders }: RequestHead, maxHeaderListBytes: number): NoCall | undefined {
  if (headerListBytes(rawHeaders) > maxHeaderListBytes) {
    const text = `the header list is over the limit of ${maxHeaderListBytes} bytes`
    return { why: 'metadata', status: 'RESOURCE_EXHAUSTED', text }
  }
  const unknown = unknownMethod('AgentService', 'Connect', path, method)
  if (unknown !== undefined) return { why: 'unknown_method', status: 'UNIMPLEMENTED', text: unknown }
  const [encoding] = valuesOf(rawHeaders, 'grpc-encoding')
  const unreadable = unknownEncoding(encoding)
  return unreadable === undefined ? undefined : { why: 'encoding', status: 'UNIMPLEMENTED', text: unreadable }
}
