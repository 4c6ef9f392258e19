/** Which cluster a credential, a server name or a socket leads to. Pure; asked on each handshake, so each answer is one look-up. */
import { createAddressIndex } from './address-index.ts'
import type { Cluster } from './cluster.ts'

export type Side = 'agents' | 'frontends'

export type Directory = {
  readonly clusters: readonly Cluster[]
  readonly get: (id: string) => Cluster | undefined
  /** @param subject its parts separated by ", " */
  readonly bySubject: (side: Side, subject: string) => string | undefined
  /** @param name as `canonicalName` (read.ts) writes it */
  readonly byName: (side: Side, name: string) => string | undefined
  /** Of a token. */
  readonly byAgentUser: (user: string) => string | undefined
  /** Those that the holder of a user certificate may reach. */
  readonly byFrontendUser: (user: string) => readonly string[]
  /** @param name in whatever case */
  readonly byServerName: (name: string) => string | undefined
  /** Whose clients alone come from an address, as far as the clusters say so. */
  readonly byAddress: (ip: string) => string | undefined
}

export function createDirectory(clusters: readonly Cluster[]): Directory {
  const byId = new Map(clusters.map((cluster) => [cluster.id, cluster]))
  const index = (keysOf: (cluster: Cluster) => readonly string[]): ReadonlyMap<string, string> =>
    new Map(clusters.flatMap((cluster) => keysOf(cluster).map((key) => [key, cluster.id] as const)))
  const subjects = {
    agents: index(({ agents }) => agents.subjects),
    frontends: index(({ frontends }) => frontends.subjects),
  }
  const names = { agents: index(({ agents }) => agents.names), frontends: index(({ frontends }) => frontends.names) }
  const agentUsers = index(({ agents }) => agents.users)
  const serverNames = index(({ frontends }) => frontends.serverNames)
  const frontendUsers = new Map<string, string[]>()
  for (const { id, frontends } of clusters) {
    for (const user of frontends.users) frontendUsers.set(user, [...(frontendUsers.get(user) ?? []), id])
  }
  return {
    clusters,
    get: (id) => byId.get(id),
    bySubject: (side, subject) => subjects[side].get(subject),
    byName: (side, name) => names[side].get(name),
    byAgentUser: (user) => agentUsers.get(user),
    byFrontendUser: (user) => frontendUsers.get(user) ?? [],
    byServerName: (name) => serverNames.get(name.toLowerCase()),
    byAddress: createAddressIndex(
      clusters.flatMap(({ id, frontends }) => frontends.addresses.map((range) => [id, range] as const)),
    ),
  }
}
