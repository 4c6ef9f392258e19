/** Agents that refuse every dial by their own name, so that the answer to a CONNECT says whom the server chose. */
import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import type { Test } from 'tap'
import { askFor, type Frontend } from './client.ts'
import { type AgentPort, connectAgentPort, openStream } from './wire-agent.ts'

/** Enough to see each of four agents: one of them would be missed once in ten thousand million times, and this is asked hundreds of times. */
const DIALS = 84

export type NamingAgent = {
  /** Says that it drains; the server has heard it when `agent drains` is in its log. */
  readonly drain: () => void
  /** Hangs up without a word. */
  readonly leave: () => void
}

/** The server has taken it. @param name also its agent id, unless the headers say another */
export async function namingAgent(
  t: Test,
  server: AgentPort,
  name: string,
  identifiers = '',
  headers: OutgoingHttpHeaders = {},
): Promise<NamingAgent> {
  const socket = await connectAgentPort(t, server)
  const http = connectHttp2('https://127.0.0.1', { createConnection: () => socket })
  http.on('error', () => undefined)
  t.teardown(() => http.destroy())
  const agent = openStream(http, { headers: { agentid: name, agentidentifiers: identifiers, ...headers } })
  agent.onPacket((packet) => {
    if (packet.type !== 'DIAL_REQ') return
    agent.send({ type: 'DIAL_RSP', error: `by ${name}`, connectId: 0, random: packet.random })
  })
  await agent.answer()
  return {
    drain: () => agent.send({ type: 'DRAIN' }),
    leave: () => void socket.destroy(),
  }
}

/** Whom the server chooses for the address, in as many dials as it takes to see everybody: naming agents, or nobody. */
export async function chosen(server: Frontend, address: string): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: DIALS }, () => askFor(server, address)))
  const names = answers.map(({ status, body }) => (status === 500 ? 'nobody' : body.replace('by ', '')))
  return [...new Set(names)].sort()
}
