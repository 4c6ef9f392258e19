/**
 * Lines about what a peer can do as often as it likes: the first of each kind from each peer, and once a minute how many came
 * meanwhile. Those whom no credential names share a rate, or whoever has many addresses could fill the disk. The metrics count all.
 */
import type { Clock } from '../platform/clock.ts'
import { sourceOf } from '../platform/ip-address.ts'
import { createRepeats } from '../platform/repeats.ts'
import { tokenBucket } from '../platform/token-bucket.ts'
import type { Audit } from './record.ts'

const EVERY_MS = 60_000
/** Peers and kinds that are remembered. */
const MAX_KEYS = 1_000
/** Lines about strangers: so many in so many milliseconds. */
const STRANGERS = [100, 10_000] as const

/** A record is like another one when the peer (of an IPv6 address its /64), the event and the reason are: sources must be without a port. */
export function createRepeatedAudit(audit: Audit, clock: Pick<Clock, 'now'>): Audit {
  const repeats = createRepeats(EVERY_MS, MAX_KEYS)
  const strangersTurn = tokenBucket(...STRANGERS)
  return (record) => {
    const { event, cluster, principal, agent, source, reason } = record
    const nowMs = clock.now()
    const key = JSON.stringify([event, cluster, principal, agent, source && sourceOf(source), reason])
    const repeated = repeats.tell(key, '', nowMs)
    if (repeated === undefined) return
    if (principal !== undefined || strangersTurn(nowMs)) audit(repeated > 0 ? { ...record, repeated } : record)
    else repeats.withheld(key, repeated)
  }
}
