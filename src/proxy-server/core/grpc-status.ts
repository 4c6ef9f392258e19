/** How a gRPC stream ends: a number and a sentence in the trailers. Pure. Source: gRPC over HTTP/2, "Responses". */

const CODES = {
  OK: 0,
  UNKNOWN: 2,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

export type GrpcStatus = keyof typeof CODES

export function grpcStatus(status: GrpcStatus, message: string): Record<string, string> {
  const fields = { 'grpc-status': String(CODES[status]) }
  return message === '' ? fields : { ...fields, 'grpc-message': percentEncode(message) }
}

/** Printable ASCII but for "%", the rest as UTF-8 in percent form. */
function percentEncode(text: string): string {
  return text.toWellFormed().replace(/[^ -$&-~]+/g, encodeURIComponent)
}
