/** The list of replicas that leases make: one for each name and address, with as many workers as there are leases of it. Pure. */
import type { Lease } from '../../kubernetes/lease.ts'
import type { ListedServer } from '../../tunnel/packet.ts'
import { readServerList } from '../../tunnel/server-list.ts'

export type LeasedReplicas =
  | { readonly ok: true; readonly list: readonly ListedServer[] }
  /** @param reason in a closed set of words */
  | { readonly ok: false; readonly reason: string }

/**
 * @param own always listed: whoever is told is connected to it, whatever the API server knows
 * @returns no list when a server that holds a lease does not say how it is reached: agents would not find it by a list
 */
export function leasedReplicas(leases: readonly Lease[], own: ListedServer): LeasedReplicas {
  const replicas = new Map<string, ListedServer>()
  const keyOf = ({ serverName, address }: Pick<ListedServer, 'serverName' | 'address'>): string =>
    `${serverName} ${address}`
  for (const { holder, replica } of [...leases].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!replica) return { ok: false, reason: 'a lease has no server name: its server lists no replicas' }
    const known = replicas.get(keyOf(replica))
    if (known) replicas.set(keyOf(replica), { ...known, workers: known.workers + 1 })
    else replicas.set(keyOf(replica), { id: holder, ...replica, workers: 1 })
  }
  const known = replicas.get(keyOf(own))
  if (!known || known.workers < own.workers) replicas.set(keyOf(own), { ...own, id: known?.id ?? own.id })
  const read = readServerList([...replicas.values()])
  if (!read.ok) return { ok: false, reason: `the leases make no good list: expected ${read.problems[0]?.expected}` }
  return { ok: true, list: [...read.servers].sort((a, b) => (a.serverName < b.serverName ? -1 : 1)) }
}
