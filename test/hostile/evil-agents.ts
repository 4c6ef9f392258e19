/** Agents of the cluster `evil`, as the hub of an attack sees them: each under an id that no other attack has. */
import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import type { Leaf } from '../integration/certificates.ts'
import { connectThrough, type Dialled, dialThrough } from '../integration/dialled.ts'
import { connectHub } from '../integration/hub.ts'
import { type GrpcEnd, openWireAgent, type WireAgent } from '../integration/wire-agent.ts'
import type { Arena } from './hub.ts'

let ids = 0
export const agentId = (): string => `evil-${++ids}`

export type EvilAgents = {
  /** One that the hub takes. It leaves when it has done its worst. */
  readonly asAgent: <T>(
    t: Test,
    act: (agent: WireAgent) => Promise<T>,
    headers?: OutgoingHttpHeaders,
    leaf?: Leaf,
  ) => Promise<T>
  /** What the hub answers to someone who would be an agent. */
  readonly registers: (t: Test, leaf: Leaf | 'none', headers?: OutgoingHttpHeaders) => Promise<GrpcEnd>
  /** A client of `evil` whose dial has come to this agent. */
  readonly dialThrough: (agent: WireAgent) => Promise<Dialled>
  /** An open connection of this agent. */
  readonly connectThrough: (agent: WireAgent, connectId: number | bigint) => Promise<Socket>
}

export function evilAgents(hub: Arena): EvilAgents {
  const { leaves } = hub
  const client = (): Promise<Socket> => connectHub(hub, leaves.evil)
  return {
    async asAgent(t, act, headers = {}, leaf = leaves.evilAgent) {
      const agent = await openWireAgent(t, hub, { leaf, headers: { agentid: agentId(), ...headers } })
      await agent.answer()
      try {
        return await act(agent)
      } finally {
        await hangUp(agent)
      }
    },
    async registers(t, leaf, headers = {}) {
      const agent = await openWireAgent(t, hub, { leaf, headers: { agentid: agentId(), ...headers } })
      return agent.ended()
    },
    dialThrough: async (agent) => dialThrough(agent, await client()),
    connectThrough: async (agent, connectId) => connectThrough(agent, connectId, await client()),
  }
}

export async function hangUp({ http, stream }: WireAgent): Promise<void> {
  if (stream.closed) return
  const gone = once(stream, 'close')
  http.destroy()
  await gone
}
