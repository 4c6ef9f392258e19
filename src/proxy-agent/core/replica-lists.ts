/**
 * Which replicas an agent is to hold, by the lists that their servers tell it. Pure.
 *
 * Each host that the agent was told to connect to has lists of its own: those of the servers that it leads to, by
 * itself or by its lists, whichever way they were opened. What any of them lists counts, since one that has just heard of a new replica, or that cannot ask
 * the API server any more, must not take away what another one knows; a replica lists itself for as long as it is there.
 * While nobody is there to tell, what was told last stays.
 */
import { readServerAddress, type ServerAddress } from '../../platform/server-address.ts'
import type { ListedServer } from '../../tunnel/packet.ts'
import { MAX_LISTED_STREAMS } from '../../tunnel/server-list.ts'
import { hostPort } from './go-errors.ts'
import type { HostIndex } from './server-set.ts'

/** A replica and how it is reached. */
export type Place = {
  /** The host whose servers list it. */
  readonly origin: HostIndex
  /** Of the replica. */
  readonly id: string
  readonly address: ServerAddress
  readonly serverName: string
  readonly workers: number
}

export type PlaceOptions = {
  readonly hosts: readonly ServerAddress[]
  /** Whether servers may send us to other addresses than those hosts. */
  readonly follows: boolean
}

export type ReplicaLists<S> = {
  /** That host leads to it: what it tells counts there. @returns whether that is news, and it has told anything */
  readonly reached: (origin: HostIndex, server: S) => boolean
  /** @param list checked; `none`: this server tells of none. @returns the hosts that lead to it */
  readonly told: (server: S, list: readonly ListedServer[] | 'none') => readonly HostIndex[]
  /**
   * Whether it lists replicas, and another server of a host of its does too. One that lists nothing is never in the way, and a list that
   * does not name who tells it may be wrong: that server alone is not believed.
   */
  readonly mayLeave: (server: S) => boolean
  /** It has gone, or is about to. @returns the hosts that led to it, if it had told anything */
  readonly forget: (server: S) => readonly HostIndex[]
  readonly wanted: (origin: HostIndex) => Wanted
}

/** What the lists that count for a host come to. */
export type Wanted = {
  /** By what they are reached; empty where no server of this host tells of any. */
  readonly places: ReadonlyMap<string, Place>
  /** Listed addresses that we do not go to. */
  readonly foreign: readonly string[]
  /** Ids of replicas beyond the streams that an agent holds. */
  readonly overMany: readonly string[]
}

export function createReplicaLists<S>({ hosts, follows }: PlaceOptions): ReplicaLists<S> {
  const lists = new Map<S, readonly ListedServer[] | 'none'>()
  const reachedBy = hosts.map(() => new Set<S>())
  const last = hosts.map((): readonly ListedServer[] => [])

  const goesTo = ({ host, port }: ServerAddress): boolean =>
    follows || hosts.some((own) => own.host.toLowerCase() === host.toLowerCase() && own.port === port)

  const addressOf = (origin: HostIndex, { address }: ListedServer): ServerAddress => {
    const own = hosts[origin]!
    return address === '' ? own : (readServerAddress(address, own.port) ?? own)
  }

  const originsOf = (server: S): HostIndex[] => [...hosts.keys()].filter((origin) => reachedBy[origin]!.has(server))
  const isLister = (server: S): boolean => Array.isArray(lists.get(server))

  function refresh(origin: HostIndex): void {
    const told = [...lists].filter(([server]) => reachedBy[origin]!.has(server))
    if (told.length > 0) last[origin] = told.flatMap(([, list]) => (list === 'none' ? [] : list))
  }

  return {
    reached(origin, server) {
      if (reachedBy[origin]!.has(server)) return false
      reachedBy[origin]!.add(server)
      refresh(origin)
      return lists.has(server)
    },
    told(server, list) {
      lists.delete(server) // the latest counts where two say something else of the same replica
      lists.set(server, list)
      const origins = originsOf(server)
      origins.forEach(refresh)
      return origins
    },
    mayLeave: (server) =>
      isLister(server) &&
      originsOf(server).some((origin) => [...reachedBy[origin]!].some((one) => one !== server && isLister(one))),
    forget(server) {
      const origins = originsOf(server)
      for (const origin of origins) reachedBy[origin]!.delete(server)
      if (!lists.delete(server)) return []
      origins.forEach(refresh)
      return origins
    },
    wanted(origin) {
      const places = new Map<string, Place>()
      const foreign = new Set<string>()
      const overMany = new Set<string>()
      let streams = 0
      for (const server of last[origin]!) {
        const address = addressOf(origin, server)
        const key = `${server.serverName} ${hostPort(address.host, address.port)}`
        const before = places.get(key)?.workers ?? 0
        if (!goesTo(address)) foreign.add(server.address)
        else if (streams - before + server.workers > MAX_LISTED_STREAMS) overMany.add(server.id)
        else {
          streams += server.workers - before
          places.set(key, { origin, id: server.id, address, serverName: server.serverName, workers: server.workers })
        }
      }
      return { places, foreign: [...foreign], overMany: [...overMany] }
    },
  }
}
