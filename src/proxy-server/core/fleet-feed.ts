/**
 * The state of each cluster, and what is told when it changes: from facts about streams of agents, of this process or of several
 * workers. Pure. docs/fleet.md says what the states mean.
 */

export type ClusterState = 'established' | 'degraded' | 'draining' | 'lost'

/** What happened to the stream of an agent. A stream is known by its server and a number that this one gave it. */
export type FleetFact =
  | { readonly is: 'joined'; readonly stream: StreamName; readonly cluster: string; readonly agent: string }
  /** Nothing has been heard of it for long, or something again. */
  | { readonly is: 'late' | 'heard' | 'draining'; readonly stream: StreamName }
  /** @param reason a word; `closed` and `shutdown` are ends in order */
  | { readonly is: 'left'; readonly stream: StreamName; readonly reason: string }
  /** @param why a word of ours; `reason` may quote the peer */
  | {
      readonly is: 'refused'
      readonly source: string
      readonly agent: string | undefined
      readonly why: string
      readonly reason: string
    }
  /** The clusters that the server is for; without that fact, whoever comes. */
  | { readonly is: 'known'; readonly clusters: readonly string[] }
  /** A worker process has ended, and all its streams with it. */
  | { readonly is: 'server-gone'; readonly server: string }

export type StreamName = { readonly server: string; readonly number: number }

export type FleetEvent = {
  readonly type: ClusterState | 'refused'
  readonly unixMs: number
  readonly cluster?: string
  readonly agent?: string | undefined
  readonly source?: string
  readonly reason: string
}

export type ClusterStanding = { readonly state: ClusterState; readonly sinceUnixMs: number; readonly reason: string }

export type FleetFeed = {
  /** @returns what is to be told, if anything */
  readonly take: (fact: FleetFact, unixMs: number) => FleetEvent[]
  /** Called every second or so. */
  readonly tick: (unixMs: number) => FleetEvent[]
  /** By id, those that were lost too. */
  readonly standings: () => ReadonlyMap<string, ClusterStanding>
}

type Stream = { readonly cluster: string; readonly agent: string; draining: boolean; late: boolean }
type Known = {
  readonly streams: Set<Stream>
  /** When agents were lost that have not come back: oldest first. */
  readonly missing: number[]
  standing: ClusterStanding | undefined
}

/** An agent that was lost counts as missing for this long: milliseconds. After that it is taken to be gone for good. */
const MISSED_MS = 5 * 60_000
/** Lost clusters that are remembered, the last ones. */
const MAX_LOST = 1_000
/** A peer that is refused is told of once in this time, for each kind of reason: milliseconds; so many are remembered. */
const REFUSED_MS = 60_000
const MAX_REFUSED = 1_000

const IN_ORDER: ReadonlySet<string> = new Set(['closed', 'shutdown'])
const ADDED = 'it is new in --clusters: no agent has come yet'
const REMOVED = 'it was removed from --clusters'

export function createFleetFeed(): FleetFeed {
  const clusters = new Map<string, Known>()
  const streams = new Map<string, Stream>()
  const refused = new Map<string, number>()
  let listed: ReadonlySet<string> | undefined

  function known(cluster: string): Known {
    const there = clusters.get(cluster)
    if (there) return there
    const fresh: Known = { streams: new Set(), missing: [], standing: undefined }
    clusters.set(cluster, fresh)
    return fresh
  }

  /** @param reason of what has just happened */
  function look(cluster: string, reason: string, unixMs: number, agent?: string): FleetEvent[] {
    const it = known(cluster)
    const state = stateOf(it)
    if (state === it.standing?.state) return []
    const why = state === 'lost' && isRemoved(cluster) ? REMOVED : reason
    it.standing = { state, sinceUnixMs: unixMs, reason: why }
    if (state === 'lost') forgetLost(cluster)
    return [{ type: state, unixMs, cluster, agent, reason: why }]
  }

  /** Those that were lost last are at the end. Clusters that are listed stay. */
  function forgetLost(last: string): void {
    if (listed) return void forgetRemoved()
    const it = clusters.get(last)
    clusters.delete(last)
    if (it) clusters.set(last, it)
    const lost = [...clusters].filter(([, { streams }]) => streams.size === 0)
    for (const [cluster] of lost.slice(0, Math.max(0, lost.length - MAX_LOST))) clusters.delete(cluster)
  }

  const isRemoved = (cluster: string): boolean => listed !== undefined && !listed.has(cluster)

  /** @returns those that were known. A removed one with agents is left until they have gone. */
  function forgetRemoved(): string[] {
    const gone = [...clusters].filter(([cluster, { streams }]) => streams.size === 0 && isRemoved(cluster))
    return gone.map(([cluster]) => {
      clusters.delete(cluster)
      return cluster
    })
  }

  /** What a server begins with is no change. */
  function list(ids: readonly string[], unixMs: number): FleetEvent[] {
    const isFirst = listed === undefined
    listed = new Set(ids)
    const added = ids.filter((id) => !known(id).standing)
    for (const id of added) {
      const reason = isFirst ? 'no agent has come yet' : ADDED
      known(id).standing = { state: 'lost', sinceUnixMs: unixMs, reason }
    }
    const told = (cluster: string, reason: string): FleetEvent => ({ type: 'lost', unixMs, cluster, reason })
    const removed = forgetRemoved().map((id) => told(id, REMOVED))
    return isFirst ? [] : [...added.map((id) => told(id, ADDED)), ...removed]
  }

  function leave(name: string, reason: string, unixMs: number): FleetEvent[] {
    const stream = streams.get(name)
    if (!stream) return []
    streams.delete(name)
    const { cluster, agent, draining } = stream
    const it = known(cluster)
    it.streams.delete(stream)
    if (!IN_ORDER.has(reason) && !draining && !isRemoved(cluster)) it.missing.push(unixMs)
    return look(cluster, reason, unixMs, agent)
  }

  function turnAway(fact: Extract<FleetFact, { is: 'refused' }>, unixMs: number): FleetEvent[] {
    const { source, agent, why, reason } = fact
    const key = `${source} ${why}` // nothing that a stranger words
    if (unixMs - (refused.get(key) ?? Number.NEGATIVE_INFINITY) < REFUSED_MS) return []
    refused.delete(key)
    refused.set(key, unixMs)
    if (refused.size > MAX_REFUSED) for (const oldest of refused.keys()) if (refused.delete(oldest)) break
    return [{ type: 'refused', unixMs, source, agent, reason }]
  }

  return {
    take(fact, unixMs) {
      switch (fact.is) {
        case 'joined': {
          const { cluster, agent } = fact
          const stream: Stream = { cluster, agent, draining: false, late: false }
          streams.set(nameOf(fact.stream), stream)
          const it = known(cluster)
          it.streams.add(stream)
          it.missing.shift()
          return look(cluster, 'an agent is connected', unixMs, agent)
        }
        case 'late':
        case 'heard':
        case 'draining': {
          const stream = streams.get(nameOf(fact.stream))
          if (!stream) return []
          if (fact.is === 'draining') stream.draining = true
          else stream.late = fact.is === 'late'
          return look(stream.cluster, REASONS[fact.is], unixMs, stream.agent)
        }
        case 'left':
          return leave(nameOf(fact.stream), fact.reason, unixMs)
        case 'refused':
          return turnAway(fact, unixMs)
        case 'known':
          return list(fact.clusters, unixMs)
        case 'server-gone': {
          const names = [...streams.keys()].filter((name) => name.startsWith(`${fact.server} `))
          return names.flatMap((name) => leave(name, 'a worker of the server has ended', unixMs))
        }
      }
    },
    tick(unixMs) {
      const events: FleetEvent[] = []
      for (const [cluster, { missing, streams }] of clusters) {
        const before = missing.length
        while (missing[0] !== undefined && unixMs - missing[0] >= MISSED_MS) missing.shift()
        if (missing.length < before && streams.size > 0) {
          events.push(...look(cluster, 'an agent that was lost has not come back', unixMs))
        }
      }
      return events
    },
    standings: () =>
      new Map([...clusters].flatMap(([cluster, { standing }]) => (standing ? [[cluster, standing] as const] : []))),
  }
}

const REASONS = {
  late: 'an agent is silent',
  heard: 'the agent that was silent is heard again',
  draining: 'no agent takes new connections any more',
}

const nameOf = ({ server, number }: StreamName): string => `${server} ${number}`

function stateOf({ streams, missing }: Known): ClusterState {
  if (streams.size === 0) return 'lost'
  let [serving, late] = [0, 0]
  for (const stream of streams) {
    if (!stream.draining) serving++
    if (stream.late) late++
  }
  if (serving === 0) return 'draining'
  return late > 0 || missing.length > 0 ? 'degraded' : 'established'
}
