/** Connections through an agent that the test plays: a client asks for a target, and the agent is asked to dial it. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connectHead } from './client.ts'
import { within } from './deadline.ts'
import type { PacketOf } from './wire.ts'
import type { WireAgent } from './wire-agent.ts'

export type Dialled = { readonly client: Socket; readonly request: PacketOf<'DIAL_REQ'> }

/** @param client just connected to a frontend; its dial comes to this agent, there being no other */
export async function dialThrough(agent: WireAgent, client: Socket): Promise<Dialled> {
  client.on('error', () => undefined)
  client.write(connectHead('10.0.0.1:443'))
  return { client, request: await agent.next('DIAL_REQ') }
}

/** The agent has connected it, under this number. @returns the client, paused */
export async function connectThrough(agent: WireAgent, connectId: number | bigint, connected: Socket): Promise<Socket> {
  const { client, request } = await dialThrough(agent, connected)
  agent.send({ type: 'DIAL_RSP', error: '', connectId, random: request.random })
  const [head] = (await within(once(client, 'data'), 'the 200')) as [Buffer]
  if (!head.toString().startsWith('HTTP/1.1 200')) throw new Error(`got ${head}`)
  return client.pause()
}
