/** The records of several workers as one: each agent once for each worker that it is connected to. Pure. */
import type { ShownFleet } from './fleet.ts'

export type WorkerFleet = {
  readonly worker: number
  readonly serverId: string
  /** As `fleetRoute` words it; undefined when it did not answer in time. */
  readonly body: string | undefined
}

export function mergeFleet(fleets: readonly WorkerFleet[]): ShownFleet {
  const clusters = new Map<string, Record<string, unknown>[]>()
  const silent: number[] = []
  for (const { worker, serverId, body } of fleets) {
    if (body === undefined) silent.push(worker)
    else {
      for (const { id, agents } of (JSON.parse(body) as ShownFleet).clusters) {
        const known = clusters.get(id) ?? []
        clusters.set(id, known)
        for (const agent of agents) known.push({ ...agent, worker, serverId })
      }
    }
  }
  const list = [...clusters].map(([id, agents]) => ({ id, agents }))
  return { clusters: list, ...(silent.length > 0 && { silentWorkers: silent }) }
}
