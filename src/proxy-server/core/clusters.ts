/**
 * The agents that are connected, by cluster, and the choice of one for a dial. Pure.
 *
 * An agent that drains is the last resort: it is chosen when no strategy finds another one. Source: docs/protocol.md
 * section 7.
 */
import { type AgentIndex, createAgentIndex, type IndexedAgent } from './agent-index.ts'
import type { Strategy } from './strategies.ts'

/** What the choice needs to know of an agent's stream. */
export type PooledAgent = IndexedAgent & {
  /** It asked for no new connections while another agent has room. Whoever sets it says so by `drain`. */
  draining: boolean
  /** Whether it takes the policy that is pushed, and so judges what names resolve to. */
  readonly judgesAddresses: boolean
}

export type Clusters<A extends PooledAgent> = {
  readonly add: (cluster: string, agent: A) => void
  readonly remove: (cluster: string, agent: A) => void
  /** The agent drains from now on. */
  readonly drain: (cluster: string, agent: A) => void
  /**
   * An agent of the cluster, by the strategies in their order: one that does not drain, or else one that does.
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
type Choice<A> = { readonly available: AgentIndex<A>; readonly draining: AgentIndex<A> }

/** @param order at least one strategy */
export function createClusters<A extends PooledAgent>(order: readonly Strategy[]): Clusters<A> {
  const pools = new Map<string, Pool<A>>()
  const [first] = order

  function poolOf(cluster: string): Pool<A> {
    const known = pools.get(cluster)
    if (known) return known
    const choice = (): Choice<A> => ({ available: createAgentIndex<A>(order), draining: createAgentIndex<A>(order) })
    const pool = { streams: new Set<A>(), all: choice(), judges: choice() }
    pools.set(cluster, pool)
    return pool
  }

  const count = (strategy: Strategy): number => {
    let sum = 0
    for (const { all } of pools.values()) sum += countEither(all.available, all.draining, strategy)
    return sum
  }

  return {
    add(cluster, agent) {
      const pool = poolOf(cluster)
      pool.streams.add(agent)
      for (const { available, draining } of choicesOf(pool, agent)) {
        const index = agent.draining ? draining : available
        index.add(agent)
      }
    },
    remove(cluster, agent) {
      const pool = pools.get(cluster)
      if (!pool?.streams.delete(agent)) return
      for (const { available, draining } of choicesOf(pool, agent)) {
        available.remove(agent)
        draining.remove(agent)
      }
      if (pool.streams.size === 0) pools.delete(cluster)
    },
    drain(cluster, agent) {
      const pool = pools.get(cluster)
      if (!pool?.streams.has(agent)) return
      for (const { available, draining } of choicesOf(pool, agent)) {
        available.remove(agent)
        draining.add(agent)
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
  return from?.available.pick(address, random, except) ?? from?.draining.pick(address, random, except)
}

function countEither<A>(one: AgentIndex<A>, other: AgentIndex<A>, strategy: Strategy): number {
  const counted = one.entries(strategy)
  let sum = counted.size
  for (const entry of other.entries(strategy).keys()) if (!counted.has(entry)) sum++
  return sum
}
