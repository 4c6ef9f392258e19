/** Steps: what the server knows of its agent, from its admin port. */
import { get } from '../ask.ts'
import { poll, type Scene, within } from '../scene.ts'
import { ADDRESS } from './certificates.ts'
import type { PrivateService } from './private-service.ts'

/** The parts of an agent's record that the demo looks at; the others are printed as they come. */
export type AgentRecord = Readonly<Record<string, unknown>> & {
  readonly roundTripMs?: number
  readonly health?: { readonly bytesToTargets?: number; readonly bytesFromTargets?: number }
}
export type Fleet = { readonly url: string; readonly agent: AgentRecord }

/** @param adminPort of the server */
export function awaitAgent(scene: Scene, adminPort: number): Promise<Fleet> {
  return awaitRecord(scene, adminPort, 'the agent to connect', () => true)
}

/** Waits for a heartbeat that was answered, and in which the agent counts the bytes that the service does. */
export function awaitHeartbeat(scene: Scene, adminPort: number, service: PrivateService): Promise<Fleet> {
  const what = 'a heartbeat in which the agent counts the bytes of the service'
  return awaitRecord(scene, adminPort, what, ({ roundTripMs, health }) => {
    const { read, written } = service.bytes()
    return roundTripMs !== undefined && health?.bytesToTargets === read && health.bytesFromTargets === written
  })
}

function awaitRecord(
  scene: Scene,
  adminPort: number,
  what: string,
  enough: (agent: AgentRecord) => boolean,
): Promise<Fleet> {
  const url = `http://${ADDRESS}:${adminPort}/v1/clusters`
  return within(scene, what, (signal) =>
    poll(signal, async () => {
      const { clusters } = JSON.parse((await get(url, signal)).body)
      const agent: AgentRecord | undefined = clusters[0]?.agents[0]
      return agent !== undefined && enough(agent) ? { url, agent } : undefined
    }),
  )
}
