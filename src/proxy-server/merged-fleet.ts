/** The records of several workers as one: each agent once for each worker that it is connected to. Pure. */

/** @param agents as the worker describes them */
type Cluster = { readonly id: string; readonly agents: readonly Record<string, unknown>[] }
export type WorkerFleet = {
  readonly worker: number
  readonly serverId: string
  /** As `fleetRoute` words it; undefined when it did not answer in time. */
  readonly body: string | undefined
}

export function mergeFleet(fleets: readonly WorkerFleet[]): string {
  const clusters = new Map<string, Record<string, unknown>[]>()
  const silent: number[] = []
  for (const { worker, serverId, body } of fleets) {
    if (body === undefined) silent.push(worker)
    else {
      for (const { id, agents } of (JSON.parse(body) as { clusters: readonly Cluster[] }).clusters) {
        const known = clusters.get(id) ?? []
        clusters.set(id, known)
        for (const agent of agents) known.push({ ...agent, worker, serverId })
      }
    }
  }
  const list = [...clusters].map(([id, agents]) => ({ id, agents }))
  return `${JSON.stringify({ clusters: list, ...(silent.length > 0 && { silentWorkers: silent }) }, null, 2)}\n`
}
