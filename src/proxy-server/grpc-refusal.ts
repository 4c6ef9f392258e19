/** Refuses a gRPC stream of an agent or a client. Source: gRPC over HTTP/2, "Trailers-Only". */
import type { ServerHttp2Stream } from 'node:http2'
import { type GrpcStatus, grpcStatus } from './core/grpc-status.ts'

/** Answers with a status and nothing else; a peer that leaves its own side open does not keep the stream. */
export function refuseStream(stream: ServerHttp2Stream, status: GrpcStatus, message: string, httpStatus = 200): void {
  if (stream.destroyed || stream.closed) return // 'close' comes a little later; to respond would throw
  stream.respond(
    { ':status': httpStatus, 'content-type': 'application/grpc', ...grpcStatus(status, message) },
    { endStream: true },
  )
}
