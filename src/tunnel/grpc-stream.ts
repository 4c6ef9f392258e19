/** The first carrier: packets as gRPC messages over one HTTP/2 stream. Source: docs/protocol.md sections 1 and 4. */
import type { Http2Stream } from 'node:http2'
import { type ByteCarrier, type ByteCarrierOptions, carryOver } from './byte-carrier.ts'
import { grpcDecoder, grpcFraming } from './grpc-messages.ts'

export type GrpcStream = ByteCarrier
export type GrpcStreamOptions = Omit<ByteCarrierOptions, 'index' | 'stream' | 'framing' | 'decoder'> & {
  readonly stream: Http2Stream
  readonly maxMessageBytes: number
  /** Told how many bytes are kept of a message that is not complete, whenever that changes. */
  readonly held?: (bytes: number) => void
}

/** Makes the stream a carrier of the session and reads it from now on. Its owner ends it, and tells the session `lost`. */
export function carryOverGrpc({ maxMessageBytes, held, ...options }: GrpcStreamOptions): GrpcStream {
  return carryOver({
    ...options,
    index: 0,
    framing: grpcFraming,
    decoder: (sink) => grpcDecoder(maxMessageBytes, held ? { ...sink, held } : sink),
  })
}
