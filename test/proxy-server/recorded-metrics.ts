/** Metrics that write down what they are told, for tests of what is counted. */
import type { ServerMetrics } from '../../src/proxy-server/metrics.ts'
import { createPacketCount } from '../../src/tunnel/packet.ts'

export type RecordedMetrics = ServerMetrics & {
  /** Each call as the verb and what it was given. */
  readonly counted: (readonly [verb: string, ...given: unknown[]])[]
}

export function recordedMetrics(): RecordedMetrics {
  const counted: RecordedMetrics['counted'] = []
  const record =
    (verb: string) =>
    (...given: unknown[]): void =>
      void counted.push([verb, ...given])
  return {
    counted,
    packets: createPacketCount(),
    bytes: { fromSockets: 0, toSockets: 0 },
    dialSucceeded: record('dialSucceeded'),
    dialFailed: record('dialFailed'),
    dialRefused: record('dialRefused'),
    connectionEnded: record('connectionEnded'),
    headRefused: record('headRefused'),
    clientForbidden: record('clientForbidden'),
    handshakeFailed: record('handshakeFailed'),
    agentRefused: record('agentRefused'),
    streamEnded: record('streamEnded'),
    violation: record('violation'),
    roundTrip: record('roundTrip'),
    badProbe: record('badProbe'),
  }
}
