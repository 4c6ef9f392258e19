/**
 * The life of a server's own lease: renewed until it is withdrawn, whatever the API server does in between. Pure: the caller
 * asks the API server, owns the timer and adds the randomness. At most one request is under way, so that a late renewal never
 * brings back what was withdrawn.
 */
import { type BackoffLimits, backoffMs } from '../../platform/backoff.ts'

/** Konnectivity's: a lease lasts for two renewals. */
export const LEASE_DURATION_S = 30
const RENEW_MS = 15_000
/** Of renewals that failed: a lease that lasts for 30 s is tried for often before it expires. */
const BACKOFF: BackoffLimits = { baseMs: 1_000, capMs: 5_000 }
/** Removals that are tried; then the lease expires by itself. */
const MAX_REMOVALS = 3
const REMOVE_AGAIN_MS = 500

export type LeaseKeeping =
  | { readonly state: 'renewing'; readonly failures: number; readonly withdrawn: boolean }
  | { readonly state: 'waiting'; readonly failures: number }
  | { readonly state: 'removing' | 'removing-later'; readonly removals: number }
  | { readonly state: 'gone' }
export type LeaseKeepingEvent = 'renewed' | 'renewal-failed' | 'timer' | 'withdraw' | 'removed' | 'removal-failed'
export type LeaseOrder =
  | { readonly do: 'renew' | 'remove' | 'stop-timer' | 'say-lost' | 'say-kept' | 'say-gone' | 'say-left' }
  | { readonly do: 'timer-after'; readonly ms: number }

/** The first renewal is under way. */
export const beginning: LeaseKeeping = { state: 'renewing', failures: 0, withdrawn: false }

/**
 * What becomes of it, then what the caller must do, in order. `say-lost` and `say-kept` come once per change.
 *
 * @param random from 0 up to, not including, 1
 */
export function step(
  keeping: LeaseKeeping,
  event: LeaseKeepingEvent,
  random: number,
): readonly [LeaseKeeping, ...LeaseOrder[]] {
  switch (keeping.state) {
    case 'renewing': {
      if (event === 'withdraw') return [{ ...keeping, withdrawn: true }]
      if (event !== 'renewed' && event !== 'renewal-failed') break
      if (keeping.withdrawn) return remove(1)
      const failures = event === 'renewed' ? 0 : keeping.failures + 1
      const says: LeaseOrder[] = []
      if (failures === 1) says.push({ do: 'say-lost' })
      if (failures === 0 && keeping.failures > 0) says.push({ do: 'say-kept' })
      const ms = failures === 0 ? RENEW_MS : backoffMs(failures, BACKOFF, random)
      return [{ state: 'waiting', failures }, ...says, { do: 'timer-after', ms }]
    }
    case 'waiting':
      if (event === 'timer')
        return [{ state: 'renewing', failures: keeping.failures, withdrawn: false }, { do: 'renew' }]
      if (event === 'withdraw') {
        const [next, ...orders] = remove(1)
        return [next, { do: 'stop-timer' }, ...orders]
      }
      break
    case 'removing':
      if (event === 'removed') return [{ state: 'gone' }, { do: 'say-gone' }]
      if (event !== 'removal-failed') break
      if (keeping.removals >= MAX_REMOVALS) return [{ state: 'gone' }, { do: 'say-left' }]
      return [
        { state: 'removing-later', removals: keeping.removals },
        { do: 'timer-after', ms: REMOVE_AGAIN_MS },
      ]
    case 'removing-later':
      if (event === 'timer') return remove(keeping.removals + 1)
      break
    case 'gone':
      break
    default:
      keeping satisfies never
  }
  return [keeping]
}

const remove = (removals: number): readonly [LeaseKeeping, ...LeaseOrder[]] => [
  { state: 'removing', removals },
  { do: 'remove' },
]
