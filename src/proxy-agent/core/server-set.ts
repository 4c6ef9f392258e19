/**
 * Which proxy-servers an agent holds, each once, and which of its hosts to ask for another one. Pure; time is an argument.
 *
 * A host may be one server, or a balancer in front of many, whose answer says who it is. All hosts fill one set: as many
 * servers as there are said to be, and at least one that was reached through each host. Where servers list their replicas,
 * each of these is a place, a host of its own that leads to one replica: so many servers are held there as it has workers.
 * Source: docs/protocol.md section 8, docs/adr/0010 and 0032, konnectivity's sync loop.
 */
import type { BackoffLimits } from '../../platform/backoff.ts'
import {
  answered,
  failed,
  forgetRepeats,
  type HostTries,
  hasFound,
  lost,
  noTries,
  released,
  waitMs,
  waitOfLeavingMs,
} from './host-tries.ts'

/** More than any hub has: what a server makes up must not cost us all descriptors. */
const MAX_SERVERS = 250
/** Servers that said they leave and do not end their streams. */
const MAX_LEAVING = 50

export type HeldServer = { readonly serverId: string }

/** A host, by its place in the list of hosts, or a number behind those for a replica that was listed later. */
export type HostIndex = number

/** A replica that a server which was reached through `origin` has listed. */
export type ReplicaPlace = { readonly origin: HostIndex; readonly id: string; readonly workers: number }

export type ServerSet<S extends HeldServer> = {
  /** Whether to try that host for one more. */
  readonly wants: (host: HostIndex) => boolean
  /** A server answered there. `duplicate`: it is held already, so let the new one go and keep the old. */
  readonly connected: (host: HostIndex, server: S, serverCount: number, nowMs: number) => 'kept' | 'duplicate'
  /** Nobody answered there, or refused. */
  readonly failed: (host: HostIndex) => void
  /**
   * It will end its stream: another one is wanted before it does.
   *
   * @param reconnectAfterMs what the server asks for
   * @returns until the next look at its host: milliseconds. No server can have us wait for longer than the longest back-off,
   *   nor longer by saying it again: `undefined` when that is no news
   */
  readonly leaving: (server: S, reconnectAfterMs: number, nowMs: number, random: number) => number | undefined
  /** Its stream has ended. @returns what it was until then; nothing for a duplicate, and for one that was gone already */
  readonly gone: (server: S, nowMs: number) => 'held' | 'leaving' | undefined
  /** The one to hang up on, when too many have said that they leave and stay. */
  readonly overstayed: () => S | undefined
  /** Whether it is one of those, and does not leave. */
  readonly holds: (server: S) => boolean
  /** All that are there, those that are leaving included. */
  readonly all: () => S[]
  /** The hosts that the agent was told of and that lead to it, by themselves or by what is listed there. None: it is not held. */
  readonly originsOf: (server: S) => readonly HostIndex[]
  /** How many there should be. */
  readonly knownCount: () => number
  /** Holds this replica as well, through a host of its own. A server of its name that is held is held there. */
  readonly addPlace: (place: ReplicaPlace) => HostIndex
  readonly changePlace: (host: HostIndex, place: ReplicaPlace) => void
  /** The replica is listed no more. Who is held there stays until `surplus` names it. */
  readonly removePlace: (host: HostIndex) => void
  /**
   * Whether the servers of a host list replicas besides that are no places, since we do not go there. Anybody who is held through the
   * host may be one of those: it goes by what its servers count, as if they listed nothing.
   */
  readonly listPartly: (host: HostIndex, partly: boolean) => void
  /**
   * One that is of no replica which is listed, when every replica that is has all of its servers held: it may go.
   *
   * @param mayLeave whether anybody but itself says so: a server that lists nothing is never in the way
   */
  readonly surplus: (mayLeave: (server: S) => boolean) => S | undefined
  /** We leave it, in good order. */
  readonly dismiss: (server: S) => void
  /** Until the next look at that host: milliseconds. @param random from 0 up to, not including, 1 */
  readonly waitMs: (host: HostIndex, random: number) => number
}

/** How many servers to hold, from the number that they reported: 0 before any has answered. Less than 1 counts as 1. */
export type WantedCount = (reportedCount: number) => number

export type ServerSetOptions = BackoffLimits & {
  readonly hosts: number
  readonly wantedCount?: WantedCount
  /** Goes on asking when as many are held as are said to be there. */
  readonly forever?: boolean
}

type Host = {
  /** None: a host that the agent was told of. */
  place?: ReplicaPlace
  /** See `listPartly`. */
  isPartlyListed: boolean
  readonly tries: HostTries
  reportedCount: number
}

type Held<S> = {
  readonly server: S
  /** The host that it was opened through, and all through which it has answered since. */
  readonly host: HostIndex
  readonly reachedBy: Set<HostIndex>
  readonly sinceMs: number
}

export function createServerSet<S extends HeldServer>(options: ServerSetOptions): ServerSet<S> {
  const { wantedCount = (reportedCount) => reportedCount, forever = false } = options
  const held = new Map<string, Held<S>>()
  const leaving = new Set<S>()
  const isHeld = (serverId: string): boolean => held.has(serverId)
  const newHost = (): Host => ({ isPartlyListed: false, tries: noTries(), reportedCount: 0 })
  const hosts = new Map(Array.from({ length: options.hosts }, (_, index) => [index, newHost()]))
  let nextIndex = options.hosts

  const places = (): [HostIndex, ReplicaPlace][] =>
    [...hosts].flatMap(([index, { place }]) => (place ? [[index, place]] : []))
  /** The host, and what its servers have listed. */
  const waysOf = (host: HostIndex): Set<HostIndex> =>
    new Set([host, ...places().flatMap(([index, { origin }]) => (origin === host ? [index] : []))])
  function isReached(host: HostIndex): boolean {
    const ways = waysOf(host)
    return [...held.values()].some(({ reachedBy }) => !ways.isDisjointFrom(reachedBy))
  }

  /**
   * Whoever has answered at any place of that replica: several hosts may list it. What another replica is called does not count for this
   * one, since its name may lead astray.
   */
  function heldOf(id: string): number {
    const listed = new Set(places().map(([, place]) => place.id))
    const own = new Set(places().flatMap(([index, place]) => (place.id === id ? [index] : [])))
    const isOfIt = ({ server: { serverId }, reachedBy }: Held<S>): boolean =>
      !own.isDisjointFrom(reachedBy) && (serverId === id || !listed.has(serverId))
    return [...held.values()].filter(isOfIt).length
  }

  const isFull = ({ id, workers }: ReplicaPlace): boolean => heldOf(id) >= workers

  /** Hosts that the agent was told of and whose servers list nothing, or not all. */
  const unlistedHosts = (): [HostIndex, Host][] =>
    [...hosts].filter(([index, host]) => !host.place && (host.isPartlyListed || waysOf(index).size === 1))
  function unlistedHeld(): number {
    const unlisted = new Set(unlistedHosts().flatMap(([index]) => [...waysOf(index)]))
    return [...held.values()].filter(({ reachedBy }) => !unlisted.isDisjointFrom(reachedBy)).length
  }

  /** By hosts through which somebody is held: one that has been down for long knows nothing of now. */
  function reportedCount(): number {
    const all = unlistedHosts()
    const heard = all.filter(([index]) => isReached(index))
    return Math.max(0, ...(heard.length > 0 ? heard : all).map(([, host]) => host.reportedCount))
  }

  /** Another server behind the only host, and there are more: no other host would be asked too often. */
  function hasJustFound({ tries, place }: Host): boolean {
    if (!hasFound(tries, isHeld)) return false
    if (place) return !isFull(place)
    return hosts.size === 1 && !forever && held.size < unlistedCount()
  }

  const unlistedCount = (): number => Math.min(MAX_SERVERS, Math.max(1, wantedCount(reportedCount())))

  /** Servers of that name are reached there, by whatever way we came to them. */
  function meet(index: HostIndex, { id }: ReplicaPlace): void {
    held.get(id)?.reachedBy.add(index)
  }

  /** Takes it out of those that are held. @returns what came of the tries at its host */
  function release(server: S, nowMs: number): HostTries | undefined {
    const entry = held.get(server.serverId)
    if (entry?.server !== server) return undefined
    held.delete(server.serverId)
    for (const index of entry.reachedBy) {
      const by = hosts.get(index)
      if (by) forgetRepeats(by.tries)
    }
    const { tries } = hosts.get(entry.host) ?? newHost()
    released(tries, nowMs - entry.sinceMs, options)
    return tries
  }

  return {
    wants(host) {
      const place = hosts.get(host)?.place
      if (place) return !isFull(place)
      if (!hosts.has(host)) return false
      if (!isReached(host)) return true
      return unlistedHosts().some(([index]) => index === host) && (forever || unlistedHeld() < unlistedCount())
    },
    connected(index, server, serverCount, nowMs) {
      const { serverId } = server
      const host = hosts.get(index) ?? newHost()
      const known = held.get(serverId)
      answered(host.tries, serverId, isHeld)
      if (known) {
        known.reachedBy.add(index)
        return 'duplicate'
      }
      host.reportedCount = Math.max(0, serverCount)
      held.set(serverId, { server, host: index, reachedBy: new Set([index]), sinceMs: nowMs })
      for (const [at, place] of places()) meet(at, place)
      return 'kept'
    },
    failed(index) {
      const host = hosts.get(index)
      if (host) failed(host.tries)
    },
    leaving(server, reconnectAfterMs, nowMs, random) {
      const tries = release(server, nowMs)
      if (!tries) return undefined
      leaving.add(server)
      return waitOfLeavingMs(tries, reconnectAfterMs, options, random)
    },
    gone(server, nowMs) {
      if (leaving.delete(server)) return 'leaving'
      const tries = release(server, nowMs)
      if (!tries) return undefined
      lost(tries)
      return 'held'
    },
    overstayed: () => (leaving.size > MAX_LEAVING ? leaving.values().next().value : undefined),
    holds: (server) => held.get(server.serverId)?.server === server,
    all: () => [...[...held.values()].map(({ server }) => server), ...leaving],
    originsOf(server) {
      const entry = held.get(server.serverId)
      if (entry?.server !== server) return []
      const origins = [...entry.reachedBy].map((index) => hosts.get(index)?.place?.origin ?? index)
      return [...new Set(origins)].filter((origin) => origin < options.hosts)
    },
    knownCount() {
      const listed = places()
      if (listed.length === 0) return unlistedCount()
      const workers = new Map<string, number>()
      for (const [, place] of listed) workers.set(place.id, Math.max(place.workers, workers.get(place.id) ?? 0))
      const named = new Set(listed.map(([index]) => index))
      const unnamed = [...held.values()].filter(({ reachedBy }) => named.isDisjointFrom(reachedBy)).length
      const known = [...workers.values()].reduce((sum, count) => sum + count, unnamed)
      return unlistedHosts().length > 0 ? Math.max(known, unlistedCount()) : known
    },
    addPlace(place) {
      const index = nextIndex++
      hosts.set(index, { ...newHost(), place })
      meet(index, place)
      return index
    },
    changePlace(index, place) {
      const host = hosts.get(index)
      if (!host) return
      host.place = place
      meet(index, place)
    },
    removePlace(index) {
      hosts.delete(index)
      for (const { reachedBy } of held.values()) reachedBy.delete(index)
    },
    listPartly(index, partly) {
      const host = hosts.get(index)
      if (host) host.isPartlyListed = partly
    },
    surplus(mayLeave) {
      const listed = places()
      if (listed.length === 0 || !listed.every(([, place]) => isFull(place))) return undefined
      const kept = new Set([...listed, ...unlistedHosts()].map(([index]) => index))
      return [...held.values()].find(({ server, reachedBy }) => kept.isDisjointFrom(reachedBy) && mayLeave(server))
        ?.server
    },
    dismiss(server) {
      if (held.get(server.serverId)?.server !== server) return
      held.delete(server.serverId)
      leaving.add(server)
    },
    waitMs(index, random) {
      const host = hosts.get(index) ?? newHost()
      return waitMs(host.tries, { forever, hasJustFound: hasJustFound(host) }, options, random)
    },
  }
}
