/** The limits of proxy-server as flags. Source of their defaults: docs/protocol.md, section 9. */
import { bytes, duration, integer } from '../platform/option-types.ts'

const limiting = { group: 'Limits' }
export const limitOptions = {
  maxMessageBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 1_024,
    max: 268_435_456,
    help: 'Longest message of an agent, or of a client in grpc mode.',
  }),
  maxPendingDialsPerStream: integer({ ...limiting, default: '10000', min: 1, help: 'Unanswered dials of one agent.' }),
  maxPendingDialsPerFrontend: integer({
    ...limiting,
    default: '10000',
    min: 1,
    help: 'Unanswered dials of one client identity.',
  }),
  maxConnectionsPerStream: integer({
    ...limiting,
    default: '100000',
    min: 1,
    help: 'Open connections through one agent.',
  }),
  maxLanesPerAgent: integer({
    ...limiting,
    default: '8',
    min: 0,
    max: 64,
    help: 'Further connections of one agent that carry bulk (its --lanes); 0 for none.',
  }),
  connectHeadBytes: bytes({
    ...limiting,
    default: '16KiB',
    min: 64,
    max: 1_048_576,
    help: 'Longest head of a CONNECT, in http-connect mode.',
  }),
  connectHeadTimeoutMs: duration({ ...limiting, default: '10s', min: 1, help: 'Longest wait for that head.' }),
  earlyDataBytes: bytes({
    ...limiting,
    default: '64KiB',
    max: 131_072, // with one read more it still fits into the credit of a new connection
    help: 'Bytes of a client kept while its target is dialled, in http-connect mode.',
  }),
  tlsHandshakeTimeoutMs: duration({ ...limiting, default: '10s', min: 1, help: 'Longest TLS handshake, on any port.' }),
  agentStreamTimeoutMs: duration({
    ...limiting,
    default: '10s',
    min: 1,
    help: 'Longest wait for the stream of an agent that connected.',
  }),
  maxHeaderListBytes: bytes({
    ...limiting,
    default: '16KiB',
    min: 1_024,
    max: 1_048_576,
    help: 'Longest header list on the agent port, and of a call in grpc mode.',
  }),
  unknownFramesPerMinute: integer({
    ...limiting,
    default: '1000',
    min: 0,
    help: 'Packets that mean nothing before an agent is hung up: so many a minute. In grpc mode also those of a call before it is ended: so many in all.',
  }),
  handshakesPerSecond: integer({
    ...limiting,
    default: '200',
    min: 1,
    help: 'TLS handshakes begun per second on the agent port.',
  }),
  heartbeatTimeoutMs: duration({
    ...limiting,
    default: '12s',
    min: 1,
    help: 'Silence after which an agent is dead; at least twice its --heartbeat-interval.',
  }),
  streamBufferBytes: bytes({
    ...limiting,
    default: '64MiB',
    min: 1_048_576,
    help: 'Bytes held for all connections of one agent.',
  }),
  processBufferBytes: bytes({
    ...limiting,
    default: '256MiB',
    min: 1_048_576,
    help: 'Bytes held in all, both ways: what waits for clients or agents, and what clients have sent and their targets do not take.',
  }),
  maxStreamsPerIdentity: integer({
    ...limiting,
    default: '5000',
    min: 1,
    help: 'Agents connected with one certificate, or as one service account.',
  }),
  maxIdentifiersPerIdentity: integer({
    ...limiting,
    default: '100000',
    min: 1,
    help: 'Identifiers in all of the agents connected with one certificate.',
  }),
  maxFrontendConnections: integer({
    ...limiting,
    default: '200000',
    min: 1,
    help: 'Clients connected to the frontend. In grpc mode calls, and as many HTTP/2 connections.',
  }),
  slowConsumerBytes: bytes({
    ...limiting,
    default: '640KiB',
    min: 1,
    help: 'A client over its buffer, through a stock agent, that takes less than this is hung up.',
  }),
  slowConsumerTimeMs: duration({ ...limiting, default: '10s', min: 1, help: 'The time in which it has to take that.' }),
  connectionBufferBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 65_536,
    help: 'Bytes held for one connection through a stock agent.',
  }),
}
