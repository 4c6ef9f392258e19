/**
 * The agents that are connected, by cluster, and the choice of one for a dial. Pure.
 *
 * An agent that drains is chosen when no strategy finds another one, and one that refuses every dial when none that drains is
 * found either. Source: docs/protocol.md section 7.
 */
import { type AgentIndex, createAgentIndex, type IndexedAgent } from './agent-index.ts'
import type { Strategy } from './strategies.ts'

/** What the choice needs to know of an agent's stream. */
export type PooledAgent = IndexedAgent & {
  /** It asked for no new connections while another agent has room. Whoever sets it says so by `changed`. */
  draining: boolean
  /** It cannot read the policy that it was pushed, and dials nothing. Whoever sets it says so by `changed`. */
  refusing: boolean
  /** Whether it takes the policy that is pushed, and so judges what names resolve to. */
  readonly judgesAddresses: boolean
}

export type Clusters<A extends PooledAgent> = {
  readonly add: (cluster: string, agent: A) => void
  readonly remove: (cluster: string, agent: A) => void
  /** Whether the agent drains, or refuses, is not as it was. */
  readonly changed: (cluster: string, agent: A) => void
  /**
   * An agent of the cluster, by the strategies in their order: one that serves, or else one that drains, or one that refuses.
   *
   * @param address host:port of the target
   * @param random from 0 up to, not including, 1
   * @param except a stream that was tried already
   */
  readonly pick: PickAgent<A>
  /** As `pick` does, one of those that judge addresses. */
  readonly pickJudge: PickAgent<A>
  /** Streams of all clusters. */
  readonly all: () => A[]
  readonly of: (cluster: string) => readonly A[]
  readonly names: () => string[]
  /** Who may be chosen by each strategy, drained ones included, as konnectivity counts: ids, for destHost named hosts. */
  readonly backends: () => Readonly<Partial<Record<Strategy, number>>>
  /** There is somebody whom the first strategy might choose: konnectivity's meaning of ready. */
  readonly ready: () => boolean
}

type PickAgent<A> = (cluster: string, address: string, random: number, except?: A) => A | undefined

type Pool<A> = {
  /** Oldest first. */
  readonly streams: Set<A>
  readonly all: Choice<A>
  /** Those that judge addresses: in an index of their own, since a choice among all may find a hundred others first. */
  readonly judges: Choice<A>
}
/** By rank: who serves, who drains, who refuses. */
type Choice<A> = readonly AgentIndex<A>[]
const RANKS = 3
const rankOf = ({ draining, refusing }: PooledAgent): number => (refusing ? 2 : draining ? 1 : 0)

/** @param order at least one strategy */
export function createClusters<A extends PooledAgent>(order: readonly Strategy[]): Clusters<A> {
  const pools = new Map<string, Pool<A>>()
  const [first] = order

  function poolOf(cluster: string): Pool<A> {
    const known = pools.get(cluster)
    if (known) return known
    const choice = (): Choice<A> => Array.from({ length: RANKS }, () => createAgentIndex<A>(order))
    const pool = { streams: new Set<A>(), all: choice(), judges: choice() }
    pools.set(cluster, pool)
    return pool
  }

  const count = (strategy: Strategy): number => {
    let sum = 0
    for (const { all } of pools.values()) sum += countAny(all, strategy)
    return sum
  }

  return {
    add(cluster, agent) {
      const pool = poolOf(cluster)
      pool.streams.add(agent)
      for (const choice of choicesOf(pool, agent)) choice[rankOf(agent)]?.add(agent)
    },
    remove(cluster, agent) {
      const pool = pools.get(cluster)
      if (!pool?.streams.delete(agent)) return
      for (const index of choicesOf(pool, agent).flat()) index.remove(agent)
      if (pool.streams.size === 0) pools.delete(cluster)
    },
    changed(cluster, agent) {
      const pool = pools.get(cluster)
      if (!pool?.streams.has(agent)) return
      for (const choice of choicesOf(pool, agent)) {
        for (const [rank, index] of choice.entries()) {
          if (rank === rankOf(agent)) index.add(agent)
          else index.remove(agent)
        }
      }
    },
    pick: (cluster, address, random, except) => pickFrom(pools.get(cluster)?.all, address, random, except),
    pickJudge: (cluster, address, random, except) => pickFrom(pools.get(cluster)?.judges, address, random, except),
    all: () => [...pools.values()].flatMap(({ streams }) => [...streams]),
    of: (cluster) => [...(pools.get(cluster)?.streams ?? [])],
    names: () => [...pools.keys()],
    backends: () => Object.fromEntries(order.map((strategy) => [strategy, count(strategy)])),
    ready: () => first !== undefined && count(first) > 0,
  }
}

const choicesOf = <A extends PooledAgent>({ all, judges }: Pool<A>, { judgesAddresses }: A): readonly Choice<A>[] =>
  judgesAddresses ? [all, judges] : [all]

function pickFrom<A>(from: Choice<A> | undefined, address: string, random: number, except?: A): A | undefined {
  for (const index of from ?? []) {
    const found = index.pick(address, random, except)
    if (found) return found
  }
  return undefined
}

/** What is in several, once. */
function countAny<A>(choice: Choice<A>, strategy: Strategy): number {
  const [first, ...others] = choice.map((index) => index.entries(strategy))
  let sum = first?.size ?? 0
  others.forEach((entries, at) => {
    for (const entry of entries.keys()) if (![first, ...others.slice(0, at)].some((before) => before?.has(entry))) sum++
  })
  return sum
}
