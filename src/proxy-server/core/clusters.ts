/**
 * The agents that are connected, by cluster, and the choice of one for a dial. Pure.
 * Source: docs/protocol.md section 7, konnectivity's `default` strategy: a random agent, drained ones last.
 */

/** What the choice needs to know of an agent's stream. */
export type PooledAgent = {
  /** As the agent said; two streams may say the same. */
  readonly agentId: string
  /** It asked for no new connections while another agent has room. */
  draining: boolean
}

export type Clusters<A extends PooledAgent> = {
  readonly add: (cluster: string, agent: A) => void
  readonly remove: (cluster: string, agent: A) => void
  /**
   * An agent of the cluster, at random over the agent ids, and of one id the stream that is there longest.
   *
   * @param random from 0 up to, not including, 1
   * @param except a stream that was tried already
   */
  readonly pick: (cluster: string, random: number, except?: A) => A | undefined
  /** Streams of all clusters. */
  readonly all: () => A[]
  readonly of: (cluster: string) => readonly A[]
  readonly names: () => string[]
}

export function createClusters<A extends PooledAgent>(): Clusters<A> {
  const pools = new Map<string, Map<string, A[]>>() // cluster → agent id → streams, oldest first

  function pick(cluster: string, random: number, except?: A): A | undefined {
    const ids = [...(pools.get(cluster)?.values() ?? [])]
    const first = Math.floor(random * ids.length)
    let lastResort: A | undefined
    for (let step = 0; step < ids.length; step++) {
      for (const agent of ids[(first + step) % ids.length]!) {
        if (agent === except) continue
        if (!agent.draining) return agent
        lastResort ??= agent
      }
    }
    return lastResort
  }

  return {
    add(cluster, agent) {
      const pool = pools.get(cluster) ?? new Map<string, A[]>()
      pools.set(cluster, pool)
      pool.set(agent.agentId, [...(pool.get(agent.agentId) ?? []), agent])
    },
    remove(cluster, agent) {
      const pool = pools.get(cluster)
      const rest = pool?.get(agent.agentId)?.filter((other) => other !== agent) ?? []
      if (rest.length > 0) pool?.set(agent.agentId, rest)
      else pool?.delete(agent.agentId)
      if (pool?.size === 0) pools.delete(cluster)
    },
    pick,
    all: () => [...pools.values()].flatMap((pool) => [...pool.values()].flat()),
    of: (cluster) => [...(pools.get(cluster)?.values() ?? [])].flat(),
    names: () => [...pools.keys()],
  }
}
