/** The lists of replicas that one server tells, checked before anybody acts by them. A bad one changes nothing. */
import type { Log } from '../platform/log.ts'
import { tokenBucket } from '../platform/token-bucket.ts'
import type { ListedServer } from '../tunnel/packet.ts'
import { readServerList } from '../tunnel/server-list.ts'
import type { AgentMetrics } from './metrics.ts'

/** At once; then one a second. Each may cost connections. */
export const LISTS = 10
const LISTS_PER_MS = LISTS * 1_000
/** Of a bad list that are told. */
const MAX_SHOWN = 3

export type ServerListsDeps = {
  readonly log: Log
  readonly metrics: Pick<AgentMetrics, 'listRefused'>
  readonly now: () => number
}

/** @returns what to hold from now on; nothing for a list that is bad */
export function createServerLists({ log, metrics, now }: ServerListsDeps) {
  const mayTell = tokenBucket(LISTS, LISTS_PER_MS)
  return (given: readonly ListedServer[]): readonly ListedServer[] | 'too-often' | undefined => {
    if (!mayTell(now())) return 'too-often'
    const read = readServerList(given)
    if (read.ok) return read.servers
    metrics.listRefused()
    const problems = read.problems.slice(0, MAX_SHOWN).map(({ at, expected }) => `${at ?? 'all'}: expected ${expected}`)
    log.error({ problems }, 'list of replicas cannot be used, the one before stays')
    return undefined
  }
}
