/** Metrics that write down what they are told, whatever verbs there are, for tests of what is counted. */
import type { ServerMetrics } from '../../src/proxy-server/metrics.ts'
import { createPacketCount } from '../../src/tunnel/packet.ts'

export type RecordedMetrics = ServerMetrics & {
  /** Each call as the verb and what it was given. */
  readonly counted: (readonly [verb: string, ...given: unknown[]])[]
}

export function recordedMetrics(): RecordedMetrics {
  const counted: RecordedMetrics['counted'] = []
  const figures: object = {
    counted,
    packets: createPacketCount(),
    frontendPackets: createPacketCount(),
    bytes: { fromSockets: 0, toSockets: 0 },
  }
  const record =
    (verb: string) =>
    (...given: unknown[]): void =>
      void counted.push([verb, ...given])
  return new Proxy(figures, {
    get: (_figures, name) => Reflect.get(figures, name) ?? record(String(name)),
  }) as RecordedMetrics
}
