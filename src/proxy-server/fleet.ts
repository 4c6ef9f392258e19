/** Who is connected, for programs: the record that heartbeats feed, as JSON on the admin port. */
import { onlyRead, type Route } from '../platform/endpoints.ts'
import type { AgentStream } from './agent-stream.ts'
import type { Clusters } from './core/clusters.ts'

export function fleetRoute(clusters: Clusters<AgentStream>): Route {
  return onlyRead(() => {
    const list = clusters.names().map((id) => ({ id, agents: clusters.of(id).map(describe) }))
    return {
      status: 200,
      body: `${JSON.stringify({ clusters: list }, null, 2)}\n`,
      headers: { 'Content-Type': 'application/json' },
    }
  })
}

function describe({ record, draining, session, identifiers }: AgentStream): Record<string, unknown> {
  const { connectedUnixMs, heardUnixMs, ...rest } = record
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
