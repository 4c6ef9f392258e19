/**
 * The two families that konnectivity's server and agent share: packets by segment and type, and streams that broke. Both
 * programs name a segment as the server sees it, so that what one sends and the other receives has one name.
 */
import { Counter, type Registry } from 'prom-client'
import { type Tally, tallyCounter } from './tallies.ts'

export type Segment = 'from_client' | 'to_client' | 'from_agent' | 'to_agent'

/** gRPC codes as Go spells them, by their numbers. */
const CODES = [
  ...['OK', 'Canceled', 'Unknown', 'InvalidArgument', 'DeadlineExceeded', 'NotFound', 'AlreadyExists'],
  ...['PermissionDenied', 'ResourceExhausted', 'FailedPrecondition', 'Aborted', 'OutOfRange', 'Unimplemented'],
  ...['Internal', 'Unavailable', 'DataLoss', 'Unauthenticated'],
] as const
export type StreamEndCode = (typeof CODES)[number]

export type StreamFigures = {
  /** A stream ended between two packets, as far as one can tell; one that ended in order is not counted. */
  readonly streamEnded: (segment: Segment, code: StreamEndCode) => void
}

/** @param packets counts by type for each segment that the program has */
export function createStreamFigures(
  registry: Registry,
  prefix: string,
  packets: Partial<Record<Segment, Readonly<Record<string, number>>>>,
): StreamFigures {
  tallyCounter(
    registry,
    `${prefix}stream_packets_total`,
    'Packets by segment of the way, as the server names it, and by type.',
    ['segment', 'packet_type'],
    () => Object.entries(packets).flatMap(([segment, counts]) => packetTallies(segment, counts)),
  )
  const errors = new Counter({
    name: `${prefix}stream_errors_total`,
    help: 'gRPC streams that broke, by segment and gRPC code.',
    labelNames: ['segment', 'code', 'packet_type'],
    registers: [registry],
  })
  return {
    streamEnded(segment, code) {
      if (code !== 'OK') errors.inc({ segment, code, packet_type: 'Unknown' })
    },
  }
}

/** The name of a `grpc-status`; of one that gRPC does not have `Unknown`, so that a peer cannot invent label values. */
export const streamEndCode = (grpcStatus: string): StreamEndCode =>
  (/^\d{1,2}$/.test(grpcStatus) && CODES[Number(grpcStatus)]) || 'Unknown'

const packetTallies = (segment: string, counts: Readonly<Record<string, number>>): Tally[] =>
  Object.entries(counts).map(([packet_type, value]) => ({ labels: { segment, packet_type }, value }))
