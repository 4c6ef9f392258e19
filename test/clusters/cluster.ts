/** Clusters for tests, with roomy limits. */
import type { Cluster, ClusterLimits, Frontends, Peers } from '../../src/clusters/cluster.ts'

export type Parts = {
  readonly agents?: Partial<Peers>
  readonly frontends?: Partial<Frontends>
  readonly limits?: Partial<ClusterLimits>
}

const NOBODY: Peers = { subjects: [], names: [], users: [] }

export function cluster(id: string, { agents, frontends, limits }: Parts = {}): Cluster {
  return {
    id,
    agents: { ...NOBODY, ...agents },
    frontends: { ...NOBODY, serverNames: [], addresses: [], socket: undefined, ...frontends },
    limits: {
      agents: 100,
      clients: 1_000,
      connections: 1_000,
      pendingDials: 1_000,
      dialsPerSecond: 1_000,
      bufferedBytes: 64 * 2 ** 20,
      ...limits,
    },
    policy: undefined,
  }
}
