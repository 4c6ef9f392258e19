/** What proxy-server counts, in its own words; prometheus.ts has their form for Prometheus. Label values come from closed sets. */
import type { Refusal } from '../platform/endpoints.ts'
import type { StreamEndCode } from '../platform/stream-figures.ts'
import type { Authorisation } from '../policy/core/authorise.ts'
import type { ByteCount } from '../tunnel/endpoint.ts'
import type { ForcedReason } from '../tunnel/forced.ts'
import type { PacketCount } from '../tunnel/packet.ts'
import type { Violation } from '../tunnel/violations.ts'
import type { HeadFault } from './core/connect-head.ts'
import type { LaneRefusal } from './lane-listener.ts'

export type Port = 'frontend' | 'agent'
export type HeadRefusal = HeadFault | 'slow' | 'unknown-method' | 'encoding' | 'content-type' | 'forbidden' | 'shutdown'
export type DialFailureReason =
  | 'no_agent'
  | 'error_response'
  | 'unrecognized_response'
  | 'send_rsp'
  | 'backend_close'
  | 'backend_dial_timeout'
  | 'frontend_close'
export type StreamEnd =
  | 'closed'
  | 'lost'
  | 'heartbeat_timeout'
  | 'protocol_error'
  | 'too_large'
  | 'unmapped'
  | 'shutdown'

/** How a lane ended: in order; with its connection; silent for too long; for bytes that made no sense. */
export type LaneEnd = 'finished' | 'lost' | 'dead' | 'broken'

/** Why a certificate that was good no longer is; untrusted: its CA is not in the bundle any more. */
export type CutOffCause = 'revoked' | 'expired' | 'untrusted'

export type ServerMetrics = {
  /** Exchanged with agents. */
  readonly packets: PacketCount
  /** Exchanged with gRPC frontends; an http-connect frontend has none. */
  readonly frontendPackets: PacketCount
  readonly bytes: ByteCount
  /** @param ms from the DIAL_REQ to its answer */
  readonly dialSucceeded: (ms: number) => void
  readonly dialFailed: (reason: DialFailureReason) => void
  /** A dial that was not even tried: its frontend, or the agent's stream, has as many pending as it may have. */
  readonly dialRefused: (limit: 'frontend' | 'stream') => void
  /** A dial that the hub's policy denies, or that only an agent could judge, where none takes policies. */
  readonly dialDenied: (why: 'policy' | 'unjudged') => void
  /** The hub's policy was asked about a dial. @param ms that it took to say so */
  readonly dialJudged: (verdict: Authorisation['kind'], ms: number) => void
  /** How an agent took the policy that was pushed to it. */
  readonly policyAnswered: (state: 'accepted' | 'refused') => void
  readonly connectionEnded: (ms: number, how: 'finished' | 'reset') => void
  /** A head that is no good CONNECT, or a stream on the frontend that is no call of ours. */
  readonly headRefused: (why: HeadRefusal) => void
  readonly clientForbidden: (port: Port) => void
  /** A connection whose certificate was good and no longer is. */
  readonly cutOff: (port: Port | 'admin', why: CutOffCause) => void
  /** A stream of a gRPC frontend began. */
  readonly frontendStreamOpened: () => void
  /** And ended: with the code by which a read of it failed, or in order. */
  readonly frontendStreamEnded: (code: StreamEndCode) => void
  /** @param ms from handing bytes for a client to its socket or stream until that had taken them */
  readonly frontendWrote: (ms: number) => void
  /** A gRPC frontend is not read until what waits of it has been taken (1), or read again or gone (-1). */
  readonly frontendPaused: (change: 1 | -1) => void
  /** The same of an agent that knows no flow control. */
  readonly agentPaused: (change: 1 | -1) => void
  /** A CONNECT is being served (1), until client and target are both gone (-1). */
  readonly connectServed: (change: 1 | -1) => void
  /** A client that came when as many as may be were connected. */
  readonly frontendDropped: () => void
  /** A connection that this server broke for a rule or a limit of its own. */
  readonly connectionForced: (reason: ForcedReason) => void
  /** A TLS handshake that failed or was not finished in time, came when too many others did, or without the header of its front door. */
  readonly handshakeFailed: (port: Port, why: 'failed' | 'slow' | 'too_many' | 'proxy_header') => void
  /** A stream on the agent port that did not become an agent. */
  readonly agentRefused: (
    why:
      | 'too_many'
      | 'unauthenticated'
      | 'metadata'
      | 'malformed'
      | 'unknown_method'
      | 'encoding'
      | 'second_stream'
      | 'slow'
      | 'unmapped'
      | 'foreign_id'
      | 'cluster_limit'
      | 'shutdown',
  ) => void
  readonly streamEnded: (how: StreamEnd) => void
  /** An agent opened a lane. */
  readonly laneOpened: () => void
  readonly laneEnded: (how: LaneEnd) => void
  /** A connection for a lane that became none. */
  readonly laneRefused: (why: LaneRefusal) => void
  readonly violation: (violation: Violation) => void
  /** A gRPC frontend broke the protocol. */
  readonly clientViolation: (violation: Violation) => void
  readonly roundTrip: (ms: number) => void
  /** A request on the health or admin port that could not be read. */
  readonly badProbe: (why: Refusal) => void
}

/** What is read when somebody looks, instead of being counted along the way. */
export type ServerState = {
  readonly agents: () => number
  /** Who may be chosen by each strategy in use, the first one first. */
  readonly backends: () => Readonly<Record<string, number>>
  readonly connections: () => number
  readonly dials: () => number
  readonly bufferedBytes: () => number
  /** Seconds until each certificate in use expires, by the flag that names it. */
  readonly certificateSeconds: () => Readonly<Record<string, number>>
  /** 1 while the files of a port are broken and older ones are in use, by port. */
  readonly tlsAlarms: () => Readonly<Record<Port, boolean>>
  readonly policyAlarm: () => boolean
}
