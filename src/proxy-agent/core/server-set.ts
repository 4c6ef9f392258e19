/**
 * Which proxy-servers an agent holds, and whether it wants another one: as many as they say there are, each once. Pure.
 * Source: docs/protocol.md section 8, konnectivity's sync loop.
 */
import { type BackoffLimits, backoffMs } from '../../platform/backoff.ts'

/** Share of the interval by which looks are spread, so that agents do not move in step. */
const SPREAD = 0.1

export type HeldServer = { readonly serverId: string }

export type ServerSet<S extends HeldServer> = {
  /** Whether to try for one more. */
  readonly wants: () => boolean
  /** A server answered. `duplicate`: it is held already, so let the new one go and keep the old. */
  readonly connected: (server: S, serverCount: number) => 'kept' | 'duplicate'
  readonly failed: () => void
  /**
   * It will end its stream: another one is wanted before it does.
   *
   * @param reconnectAfterMs what the server asks for
   * @returns until the next look: milliseconds. No server can have us wait for longer than the longest back-off, nor longer
   *   by saying it again: `undefined` when that is no news
   */
  readonly leaving: (server: S, reconnectAfterMs: number) => number | undefined
  readonly gone: (server: S) => void
  /** All that are there, those that are leaving included. */
  readonly all: () => S[]
  /** How many there should be. */
  readonly knownCount: () => number
  /** Until the next look: milliseconds. @param random from 0 up to, not including, 1 */
  readonly waitMs: (random: number) => number
}

/** How many servers to hold, from the number that they reported last: 0 before any has answered. Less than 1 counts as 1. */
export type WantedCount = (reportedCount: number) => number

export function createServerSet<S extends HeldServer>(
  limits: BackoffLimits,
  wantedCount: WantedCount = (reportedCount) => reportedCount,
): ServerSet<S> {
  const held = new Map<string, S>()
  const leaving = new Set<S>()
  let reportedCount = 0
  let failures = 0 // since a server last answered

  const knownCount = (): number => Math.max(1, wantedCount(reportedCount))

  return {
    wants: () => held.size < knownCount(),
    connected(server, count) {
      failures = 0
      if (held.has(server.serverId)) return 'duplicate'
      held.set(server.serverId, server)
      reportedCount = Math.max(0, count)
      return 'kept'
    },
    failed() {
      failures++
    },
    leaving(server, reconnectAfterMs) {
      if (held.get(server.serverId) !== server) return undefined
      held.delete(server.serverId)
      leaving.add(server)
      return Math.min(limits.capMs, Math.max(0, reconnectAfterMs))
    },
    gone(server) {
      leaving.delete(server)
      if (held.get(server.serverId) !== server) return
      held.delete(server.serverId)
      failures = Math.max(failures, 1) // they may have lost it together: come back spread out
    },
    all: () => [...held.values(), ...leaving],
    knownCount,
    waitMs: (random) => (failures > 0 ? backoffMs(failures, limits, random) : limits.baseMs * (1 + SPREAD * random)),
  }
}
