/** Whose lines are told one by one: so many of each peer, and of all together, in a time. */
import type { Clock } from '../platform/clock.ts'
import { sourceOf } from '../platform/ip-address.ts'
import { splitAddress } from '../platform/split-address.ts'
import { type TakeToken, tokenBucket } from '../platform/token-bucket.ts'
import type { Audit } from './record.ts'

/** Of one peer, and of all. */
export const PEER_IN_FULL: Share = [500, 10_000]
export const ALL_IN_FULL: Share = [2_000, 10_000]

/** Peers whose share is remembered. */
const MAX_PEERS = 10_000

/** Lines, in milliseconds. */
export type Share = readonly [count: number, perMs: number]

/** @returns whether one more line of that peer is. Pure. */
export function createInFull(own: Share, all: Share): (peer: string, nowMs: number) => boolean {
  const peers = new Map<string, TakeToken>()
  const takeOfAll = tokenBucket(...all)
  return (peer, nowMs) => {
    const take = peers.get(peer) ?? tokenBucket(...own)
    peers.delete(peer)
    peers.set(peer, take) // the one that has been away for longest comes first
    if (peers.size > MAX_PEERS) peers.delete(peers.keys().next().value!)
    return take(nowMs) && takeOfAll(nowMs)
  }
}

/** Lines that a peer, by its name or else by its address, may cause as often as it likes. @param often is told of more than that */
export function auditInFull(audit: Audit, often: Audit, clock: Pick<Clock, 'now'>): Audit {
  const isInFull = createInFull(PEER_IN_FULL, ALL_IN_FULL)
  return (record) => {
    const { cluster, principal, reason = MANY } = record
    const source = addressOf(record.source)
    const peer = principal === undefined ? sourceOf(source ?? '') : `${cluster} ${principal}`
    if (isInFull(peer, clock.now())) audit(record)
    else often({ ...record, source: principal === undefined ? source : undefined, reason }) // it may come from anywhere
  }
}

/** Like others that were told, and one of many. */
export const MANY = 'many'

/** Without the port, by which two lines of one peer would differ. */
function addressOf(source: string | undefined): string | undefined {
  const split = splitAddress(source ?? '')
  return split.kind === 'none' ? source : split.host
}
