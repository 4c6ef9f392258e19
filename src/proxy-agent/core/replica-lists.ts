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
  readonly tells: (server: S) => boolean
  /** It has gone, or is about to. @returns whether it had told anything */
  readonly forget: (origin: HostIndex, server: S) => boolean
  /** By what they are reached; empty where no server of this host tells of any. */
  readonly wanted: (origin: HostIndex) => ReadonlyMap<string, Place>
  /** Of the lists that count, what is at an address that we do not go to. */
  readonly skipped: (origin: HostIndex) => readonly string[]
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

  return {
    told(origin, server, list) {
      lists[origin]!.delete(server) // the latest counts where two say something else of the same replica
      lists[origin]!.set(server, list)
      last[origin] = [...lists[origin]!.values()].flatMap((one) => (one === 'none' ? [] : one))
    },
    tells: (server) => lists.some((told) => Array.isArray(told.get(server))),
    forget(origin, server) {
      if (!lists[origin]!.delete(server)) return false
      if (lists[origin]!.size > 0)
        last[origin] = [...lists[origin]!.values()].flatMap((one) => (one === 'none' ? [] : one))
      return true
    },
    wanted(origin) {
      const places = new Map<string, Place>()
      let streams = 0
      for (const server of last[origin]!) {
        const address = addressOf(origin, server)
        const key = `${server.serverName} ${hostPort(address.host, address.port)}`
        const before = places.get(key)?.workers ?? 0
        if (!goesTo(address) || streams - before + server.workers > MAX_LISTED_STREAMS) continue
        streams += server.workers - before
        places.set(key, { origin, id: server.id, address, serverName: server.serverName, workers: server.workers })
      }
      return places
    },
    skipped: (origin) =>
      last[origin]!.filter((server) => !goesTo(addressOf(origin, server))).map(({ address }) => address),
  }
}
