/** The story of a tunnel through a front door, whoever made that: an agent with its lanes and a client come to their ports and exchange bulk. */
import type { Test } from 'tap'
import { makePki, type Pki } from './certificates.ts'
import { tunnelOver } from './client.ts'
import { figureBecomes } from './figures.ts'
import { handshake } from './front-door.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { type Agent, launchAgent, type Server, startServer } from './tunnel.ts'

/** The name that the agent asks for. Resolved by every machine, so that its lookup and its SNI are those of any name. */
export const AGENTS_NAME = 'localhost'
const BULK_BYTES = 30 * 2 ** 20

/** A server whose certificate has that name as well. */
export async function startNamedServer(t: Test, ...flags: string[]): Promise<Server> {
  const made: Pki = await makePki(t)
  const names = { dnsNames: [AGENTS_NAME, 'hub.example'] }
  const server = await made.issue('front', { identity: { role: 'server', id: 'hub-0' }, ...names })
  return startServer(t, { pki: { ...made, server }, flags })
}

/**
 * @param port of the front door
 * @param servername what the client asks for: `tlsServerName` of an egress selector
 * @returns the agent, connected and with two lanes
 */
export async function tunnelThrough(t: Test, server: Server, port: number, servername: string): Promise<Agent> {
  const { pki } = server
  const flags = [`--proxy-server-host=${AGENTS_NAME}`, '--lanes=2']
  const agent = await launchAgent(t, { pki, agentPort: port }, { flags })
  await Promise.all([agent.logged('connected'), server.logged('agent connected')])
  const target = await listenTarget(t, echo)
  const { cert, key } = pki.apiserver
  const connected = await handshake(t, port, { ca: pki.authority.certificatePem, cert, key, servername })
  const client = await tunnelOver(connected, target.address)
  const received = receiveAll(client)
  await sendAll(client, BULK_BYTES) // and its end: the other direction goes on
  t.strictSame(await received, { bytes: BULK_BYTES, hash: expectedHash(BULK_BYTES) })
  await figureBecomes(server, 'culvert_server_open_lanes', 2)
  client.destroy()
  return agent
}
