/** Whether a list of replicas says of this server what it is. Pure. */
import type { ListedServer } from '../../tunnel/packet.ts'

/**
 * @param own of the replica, not of one of its workers
 * @returns what is wrong and what comes of it
 */
export function ownProblem(
  list: readonly ListedServer[],
  own: Pick<ListedServer, 'id' | 'workers'>,
): string | undefined {
  const listed = list.find(({ id }) => id === own.id)
  if (!listed)
    return `no id is the --server-id of this server, ${own.id}: agents leave it when they hold those that are listed`
  if (listed.workers === own.workers) return undefined
  const comesOfIt =
    listed.workers > own.workers ? 'agents ask for the others without end' : 'agents may hold no stream to some of them'
  return `workers of ${own.id} is ${listed.workers}, and it runs with --workers=${own.workers}: ${comesOfIt}`
}
