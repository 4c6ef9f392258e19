/**
 * A server with all strategies and two agents of different kinds, one of which is killed, until the server is stopped in good
 * order; and an agent that finds no server.
 */
import type { Test } from 'tap'
import { freePort } from '../programs/free-port.ts'
import { becomes, lookAt, type Moment, type Scene, type Side, type Story, settled } from './metrics-story.ts'
import type { Pairing } from './pairing.ts'
import { agentOf, serverOf } from './programs-of.ts'

export async function playStrategies(t: Test, pairing: Pairing, { pki }: Scene): Promise<Story> {
  const story = new Map<`${Side}, ${Moment}`, Awaited<ReturnType<typeof settled>>>()
  const note = async (side: Side, moment: Moment, port: number): Promise<void> => {
    story.set(`${side}, ${moment}`, await settled(lookAt(port)))
  }
  const lost = await agentOf(t, pairing.agent, { pki, agentPort: await freePort() })
  await note('agent', 'without a server', lost.healthPort)

  const server = await serverOf(t, pairing.server, pki, ['--proxy-strategies=destHost,defaultRoute,default'])
  await note('server', 'without an agent', server.healthPort)
  const named = await agentOf(t, pairing.agent, server, ['--agent-identifiers=host=a&host=b&ipv4=10.0.0.1'])
  const other = await agentOf(t, pairing.agent, server, ['--agent-identifiers=default-route=true'])
  await becomes(lookAt(server.healthPort), 'server_ready_backends{proxy_strategy="default"}', 2)
  await note('server', 'before the first dial', server.healthPort)
  await named.kill('SIGKILL')
  await becomes(lookAt(server.healthPort), 'server_ready_backends{proxy_strategy="default"}', 1)
  await note('server', 'agent killed', server.healthPort)
  await server.kill('SIGTERM')
  await becomes(lookAt(other.healthPort), 'agent_open_server_connections', 0)
  await note('agent', 'server stopped', other.healthPort)
  return story
}
