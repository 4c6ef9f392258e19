/**
 * What the servers of a world list as replicas: a truth that changes, which each server hears of in its own time. A replica has one server, or
 * several workers that one name leads to.
 */
import type { ListedServer } from '../../../src/tunnel/packet.ts'
import type { Random } from '../../platform/random.ts'

/** Longest from a change until a server has heard of it: milliseconds. */
const HEARD_MS = 10_000

export type Replica = { readonly id: string }

export type Listings<S extends Replica> = {
  /** Whom that name leads to. */
  readonly named: (serverName: string) => readonly S[]
  readonly isListed: (server: S) => boolean
  /** What it tells. */
  readonly listOf: (server: S) => readonly ListedServer[]
  /** A replica comes or goes; one at least stays. */
  readonly change: (nowMs: number) => void
  /** @returns those that have just heard of a change */
  readonly hear: (nowMs: number) => readonly S[]
}

export function createListings<S extends Replica>(servers: readonly S[], random: Random): Listings<S> {
  const replicas: S[][] = []
  for (const server of servers) {
    if (replicas.length > 0 && random.chance(25)) replicas.at(-1)!.push(server)
    else replicas.push([server])
  }
  const listed = new Set(replicas.filter(() => random.chance(70)))
  listed.add(random.pick(replicas))
  const known = new Map(servers.map((server) => [server, [...listed]]))
  const news = new Map<S, number>()
  const nameOf = (all: readonly S[]): string => `${all[0]!.id}.example`
  const replicaOf = (server: S): S[] => replicas.find((all) => all.includes(server))!

  return {
    named: (serverName) => replicas.find((all) => nameOf(all) === serverName) ?? [],
    isListed: (server) => listed.has(replicaOf(server)),
    listOf: (server) =>
      known.get(server)!.map((all) => ({ id: all[0]!.id, address: '', serverName: nameOf(all), workers: all.length })),
    change(nowMs) {
      const replica = random.pick(replicas)
      if (!listed.has(replica)) listed.add(replica)
      else if (listed.size > 1) listed.delete(replica)
      for (const server of servers) news.set(server, nowMs + random.below(HEARD_MS))
    },
    hear(nowMs) {
      const hearing = [...news].filter(([, atMs]) => atMs <= nowMs).map(([server]) => server)
      for (const server of hearing) {
        news.delete(server)
        known.set(server, [...listed])
      }
      return hearing
    },
  }
}
