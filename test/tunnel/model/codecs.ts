/** How the two kinds of carriers put packets into bytes. */

import type { FrameSink, Framing } from '../../../src/tunnel/framing.ts'
import { grpcDecoder, grpcFraming } from '../../../src/tunnel/grpc-messages.ts'
import { laneDecoder, laneFraming } from '../../../src/tunnel/lane-frames.ts'

export type Codec = {
  readonly framing: Framing
  readonly decoder: (sink: FrameSink) => (chunk: Uint8Array) => unknown
}

export const grpcCodec: Codec = { framing: grpcFraming, decoder: (sink) => grpcDecoder(4 * 1024 * 1024, sink) }
export const laneCodec: Codec = { framing: laneFraming, decoder: laneDecoder }
