/** Who is connected, for programs: the record that heartbeats feed, as JSON on the admin port. */
import { type Answer, type Asked, onlyRead, type Route, type Routes } from '../platform/endpoints.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { Clusters } from './core/clusters.ts'
import { byId, type Fleet, shownStanding } from './fleet-events.ts'

/** A cluster as it is shown; those of its agents that are connected. */
export type ShownCluster = { readonly id: string; readonly agents: readonly Record<string, unknown>[] }
/** What is shown besides clusters. */
export type ShownFleet = { readonly clusters: readonly ShownCluster[]; readonly [more: string]: unknown }

const PATH = '/v1/clusters'

/** What an admin port answers of its fleet. @param read the clusters that have agents */
export function fleetRoutes(read: (gone: AbortSignal) => ShownFleet | Promise<ShownFleet>, fleet: Fleet): Routes {
  const all = async ({ gone }: Asked): Promise<ShownFleet> => {
    const shown = await read(gone)
    return { ...shown, clusters: withStandings(shown.clusters, fleet) }
  }
  return {
    [PATH]: onlyRead(async (asked) => json(await all(asked))),
    [`${PATH}/*`]: onlyRead(async (asked) => {
      const id = asked.path.slice(PATH.length + 1)
      const cluster = (await all(asked)).clusters.find((cluster) => cluster.id === id)
      return cluster ? json(cluster) : { status: 404, body: 'no agent of such a cluster has been here\n' }
    }),
    '/v1/events': fleet.route,
  }
}

/** By id; those that are lost have no agents. */
function withStandings(connected: readonly ShownCluster[], fleet: Fleet): ShownCluster[] {
  const standings = fleet.standings()
  const ids = new Set(connected.map(({ id }) => id))
  const lost = [...standings].filter(([id, { state }]) => state === 'lost' && !ids.has(id))
  const all: ShownCluster[] = [...connected, ...lost.map(([id]) => ({ id, agents: [] }))]
  return all.sort(byId).map(({ id, agents, ...more }) => {
    const standing = standings.get(id)
    return { id, ...(standing && shownStanding(standing)), ...more, agents }
  })
}

const json = (value: object): Answer => ({
  status: 200,
  body: `${JSON.stringify(value, null, 2)}\n`,
  headers: { 'Content-Type': 'application/json' },
})

/** What a worker is asked for. */
export function fleetRoute(clusters: Clusters<AgentStream>): Route {
  return () => json(fleetOf(clusters))
}

export const fleetOf = (clusters: Clusters<AgentStream>): ShownFleet => ({
  clusters: clusters.names().map((id) => ({ id, agents: clusters.of(id).map(describe) })),
})

function describe({ record, draining, session, identifiers }: AgentStream): Record<string, unknown> {
  const { connectedUnixMs, heardUnixMs, heardMs: _, ...rest } = record
  return {
    ...rest,
    identifiers,
    draining,
    connectedAt: new Date(connectedUnixMs).toISOString(),
    lastHeardAt: new Date(heardUnixMs).toISOString(),
    connections: session.connectionCount(),
    pendingDials: session.dialCount(),
  }
}
