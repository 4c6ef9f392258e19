/**
 * The numbers by which the client of a call knows its connections: the agents' own, as konnectivity has it, unless two agents
 * have chosen the same. Those that have just ended are remembered for a while. Pure.
 */
import type { Int64 } from '../../tunnel/packet.ts'

/** A client that sends something about a connection which has just ended does nothing wrong: so many ends are remembered. */
export const REMEMBERED_ENDS = 64

export type CallNumbers = {
  /** The number that was wanted, or one that no connection has or had of late. */
  readonly free: (wanted: Int64) => Int64
  readonly ended: (id: Int64) => void
  readonly hasEnded: (id: Int64) => boolean
}

/** @param inUse whether a connection of the call has this number */
export function createCallNumbers(inUse: (id: Int64) => boolean): CallNumbers {
  const ends = new Set<Int64>()
  let last = 0 // given out instead of an agent's

  return {
    free(wanted) {
      let id = wanted
      while (inUse(id) || ends.has(id)) id = ++last
      return id
    },
    ended(id) {
      ends.add(id)
      if (ends.size > REMEMBERED_ENDS) for (const oldest of ends) if (ends.delete(oldest)) break
    },
    hasEnded: (id) => ends.has(id),
  }
}
