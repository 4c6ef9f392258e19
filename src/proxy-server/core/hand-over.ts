/**
 * Which worker gets a connection. Pure.
 *
 * Nobody is given a second connection before it has taken the first, so one that hangs or is busy holds nobody up. Frontends go
 * to the workers in turn. Agents go, address by address, to the worker that this address has been given longest ago: who
 * connects once for each worker finds them all.
 */
import type { Worker } from './worker-set.ts'

/** @param free it has taken what it was given before */
export type Candidate = Pick<Worker, 'number' | 'state' | 'ready' | 'settled'> & { readonly free: boolean }

export type HandOver = {
  /** @returns its number; undefined when there is nobody at the moment */
  readonly forFrontend: (candidates: readonly Candidate[]) => number | undefined
  readonly forAgent: (address: string, candidates: readonly Candidate[]) => number | undefined
}

/** Addresses of agents that are remembered; a hub has as many as clusters, or one of a balancer. */
const MAX_ADDRESSES = 10_000
/** Workers that are remembered, those that have ended included. */
const MAX_REMEMBERED = 1_024

export function createHandOver(maxAddresses = MAX_ADDRESSES): HandOver {
  const frontendTurns = createTurns()
  const agentTurns = createTurns()
  const byAddress = new Map<string, ReturnType<typeof createTurns>>()

  function turnsOf(address: string): ReturnType<typeof createTurns> {
    const turns = byAddress.get(address) ?? createTurns()
    byAddress.delete(address) // behind the others
    byAddress.set(address, turns)
    const [oldest] = byAddress.keys()
    if (byAddress.size > maxAddresses && oldest !== undefined) byAddress.delete(oldest)
    return turns
  }

  return {
    forFrontend(candidates) {
      const best = Math.min(...candidates.map(rank))
      if (!(best < NEVER)) return undefined
      return frontendTurns.next(candidates.filter((candidate) => candidate.free && rank(candidate) === best))
    },
    forAgent(address, candidates) {
      const up = candidates.filter(({ state, free }) => state === 'up' && free)
      if (up.length === 0) return undefined
      const turns = turnsOf(address)
      const unknown = up.filter(({ number }) => !turns.knows(number))
      const number = unknown.length > 0 ? agentTurns.next(unknown) : turns.next(up)
      if (number !== undefined) {
        turns.took(number)
        agentTurns.took(number)
      }
      return number
    },
  }
}

const NEVER = 4
/** The lower, the better. One that leaves still has its agents; one without agents can only say so. */
function rank({ state, ready, settled }: Candidate): number {
  if (state === 'up') return settled ? 0 : ready ? 1 : 3
  return state === 'leaving' ? 2 : NEVER
}

/** Whose turn was longest ago; who never had one comes first. */
function createTurns() {
  let turn = 0
  const lastTurns = new Map<number, number>()
  const took = (number: number): void => {
    lastTurns.delete(number) // behind the others
    lastTurns.set(number, ++turn)
    const [oldest] = lastTurns.keys()
    if (lastTurns.size > MAX_REMEMBERED && oldest !== undefined) lastTurns.delete(oldest)
  }
  return {
    knows: (number: number): boolean => lastTurns.has(number),
    took,
    next(candidates: readonly Candidate[]): number | undefined {
      const numbers = candidates.map(({ number }) => number)
      const last = (number: number): number => lastTurns.get(number) ?? 0
      const [first] = numbers.toSorted((one, other) => last(one) - last(other))
      if (first !== undefined) took(first)
      return first
    },
  }
}
