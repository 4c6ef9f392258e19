/**
 * Which replicas an agent is to hold, by the lists that their servers tell it. Pure.
 *
 * Each host that the agent was told to connect to has lists of its own: those of the servers that were reached through it, by
 * itself or by its lists. What any of them lists counts, since one that has just heard of a new replica, or that cannot ask
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
  /** @param list checked; `none`: this server tells of none */
  readonly told: (origin: HostIndex, server: S, list: readonly ListedServer[] | 'none') => void
  /**
   * Whether it lists replicas, and another server of its host does too. One that lists nothing is never in the way, and a list that
   * does not name who tells it may be wrong: that server alone is not believed.
   */
  readonly mayLeave: (server: S) => boolean
  /** It has gone, or is about to. @returns whether it had told anything */
  readonly forget: (origin: HostIndex, server: S) => boolean
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
  const lists = hosts.map(() => new Map<S, readonly ListedServer[] | 'none'>())
  const last = hosts.map((): readonly ListedServer[] => [])

  const goesTo = ({ host, port }: ServerAddress): boolean =>
    follows || hosts.some((own) => own.host.toLowerCase() === host.toLowerCase() && own.port === port)

  const addressOf = (origin: HostIndex, { address }: ListedServer): ServerAddress => {
    const own = hosts[origin]!
    return address === '' ? own : (readServerAddress(address, own.port) ?? own)
  }

  const lister = (told: (typeof lists)[number], server: S): boolean => Array.isArray(told.get(server))

  return {
    told(origin, server, list) {
      lists[origin]!.delete(server) // the latest counts where two say something else of the same replica
      lists[origin]!.set(server, list)
      last[origin] = [...lists[origin]!.values()].flatMap((one) => (one === 'none' ? [] : one))
    },
    mayLeave: (server) =>
      lists.some((told) => lister(told, server) && [...told.keys()].some((one) => one !== server && lister(told, one))),
    forget(origin, server) {
      if (!lists[origin]!.delete(server)) return false
      if (lists[origin]!.size > 0)
        last[origin] = [...lists[origin]!.values()].flatMap((one) => (one === 'none' ? [] : one))
      return true
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
