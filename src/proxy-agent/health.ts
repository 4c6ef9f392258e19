/** What the agent says of itself in its heartbeats. A figure that is not known is left out. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { ByteCount } from '../tunnel/endpoint.ts'
import type { Health } from '../tunnel/packet.ts'

/** Between two samples of the event loop: milliseconds. */
const SAMPLE_MS = 20
/** Reports closer to each other than this share a figure: every link sends one. */
const WINDOW_MS = 1_000
const NS_PER_US = 1000
const DAY_SECONDS = 86_400

export type HealthSources = {
  readonly version: string
  readonly uptimeMs: () => number
  readonly connections: () => number
  readonly bytes: ByteCount
  /** Of the cluster's own policy, as hexadecimal digits; none without one. */
  readonly policyVersion: () => string | undefined
  /** Seconds until the agent's certificate expires, if it has one. */
  readonly certificateSeconds: () => number | undefined
}

/** Disposing it stops the sampling. */
export type HealthReport = Disposable & { readonly read: (roundTripMs: number | undefined) => Health }

export function createHealthReport(sources: HealthSources): HealthReport {
  const delay = monitorEventLoopDelay({ resolution: SAMPLE_MS })
  delay.enable()

  let delayUs: number | undefined
  let takenMs = Number.NEGATIVE_INFINITY

  function eventLoopDelayUs(): number | undefined {
    const nowMs = sources.uptimeMs()
    if (delay.count === 0 || nowMs - takenMs < WINDOW_MS) return delayUs
    const late = delay.percentile(99) / NS_PER_US - SAMPLE_MS * 1000 // a sample is the time between two, so as planned is zero
    delay.reset()
    takenMs = nowMs
    delayUs = Math.max(0, Math.round(late))
    return delayUs
  }

  return {
    read(roundTripMs) {
      const eventLoopDelayP99Us = eventLoopDelayUs()
      const certificateSeconds = sources.certificateSeconds()
      const policyVersion = sources.policyVersion()
      return {
        agentVersion: sources.version,
        uptimeMs: Math.round(sources.uptimeMs()),
        ...(eventLoopDelayP99Us !== undefined && { eventLoopDelayP99Us }),
        openConnections: sources.connections(),
        bytesToTargets: sources.bytes.toSockets,
        bytesFromTargets: sources.bytes.fromSockets,
        ...(certificateSeconds !== undefined && { certificateDaysLeft: Math.floor(certificateSeconds / DAY_SECONDS) }),
        ...(policyVersion !== undefined && { policyVersion: Number.parseInt(policyVersion, 16) }),
        ...(roundTripMs !== undefined && { roundTripUs: Math.round(roundTripMs * 1000) }),
      }
    },
    [Symbol.dispose]: () => void delay.disable(),
  }
}
