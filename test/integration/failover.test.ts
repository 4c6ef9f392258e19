/** Several agents of one cluster: who gets a dial, and what becomes of it when its agent leaves. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { connectFrontend, connectHead, echoOver, openTunnel, readAll } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom, figure, figureBecomes, SERVER } from './figures.ts'
import { dialsUnderWay, echo, listenTarget, PATIENT, stuckTarget } from './target.ts'
import { type Server, startAgent, startServer, startTunnel } from './tunnel.ts'
import { joinWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)

type Listed = { readonly agentId: string; readonly draining: boolean; readonly connections: number }

async function agentsOf(server: Server): Promise<Record<string, Listed>> {
  const { clusters } = (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as {
    clusters: { id: string; agents: Listed[] }[]
  }
  return Object.fromEntries(clusters.flatMap(({ agents }) => agents.map((agent) => [agent.agentId, agent])))
}

t.test('dials go to every agent', async (t) => {
  const server = await startServer(t, { pki, transport: 'uds' })
  await startAgent(t, server, { flags: ['--agent-id=one'] })
  await startAgent(t, server, { flags: ['--agent-id=other'] })
  const sockets = await Promise.all(Array.from({ length: 60 }, () => openTunnel(server, target.address)))
  const { one, other } = await agentsOf(server)
  t.equal(one!.connections + other!.connections, 60)
  t.ok(one!.connections > 5 && other!.connections > 5, `${one!.connections} and ${other!.connections}`)
  for (const socket of sockets) socket.destroy()
})

t.test('an agent that drains gets dials only when there is no other', async (t) => {
  const server = await startServer(t, { pki, transport: 'uds' })
  const leaving = await startAgent(t, server, { flags: ['--agent-id=leaving'] })
  const held = await openTunnel(server, target.address)
  const staying = await startAgent(t, server, { flags: ['--agent-id=staying'] })
  leaving.signal('SIGTERM')
  await server.logged('agent drains')
  const sockets = await Promise.all(Array.from({ length: 20 }, () => openTunnel(server, target.address)))
  t.match(await agentsOf(server), {
    leaving: { draining: true, connections: 1 },
    staying: { draining: false, connections: 20 },
  })
  await echoOver(held, 'what was open goes on')

  staying.signal('SIGKILL')
  await server.logged('agent disconnected')
  const last = await openTunnel(server, target.address)
  await echoOver(last, 'the last resort')
  for (const socket of [...sockets, last, held]) socket.destroy()
  t.strictSame(await leaving.ended, { code: 0, signal: null })
})

t.test('a dial whose agent is killed before it has answered is tried on another', async (t) => {
  const { server, agent } = await startTunnel(t, { pki }, { flags: [PATIENT] })
  const stuck = await stuckTarget(t)
  const socket = await connectFrontend(server)
  socket.write(connectHead(stuck.address))
  await eventually(
    'the first agent dials',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 1,
  )
  await startAgent(t, server)
  agent.signal('SIGKILL')
  await server.logged('agent disconnected')
  await eventually(
    'the second agent dials',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 1,
  )
  stuck.release()
  socket.end('over the second')
  t.match((await readAll(socket)).toString(), /^HTTP\/1\.1 200 [\s\S]*over the second$/)
  socket.destroy()
})

t.test('a dial that two agents in turn leave unanswered gets 502', async (t) => {
  const server = await startServer(t, { pki })
  const first = await joinWireAgent(t, server)
  const socket = await connectFrontend(server)
  socket.write(connectHead('10.0.0.1:443'))
  const answer = readAll(socket)
  await first.next('DIAL_REQ')
  const second = await joinWireAgent(t, server)
  await first.leave()
  await second.next('DIAL_REQ')
  const third = await joinWireAgent(t, server)
  await second.leave()
  t.match((await answer).toString(), /^HTTP\/1\.1 502 Backend context error: the agent stream ended\r\n/)
  t.equal(third.received.length, 0)
  t.equal(await figure(server, `${SERVER}dial_failure_count{reason="backend_close"}`), 1)
  socket.destroy()
})

t.test('one agent id on two streams is two agents, and the numbers of one mean nothing to the other', async (t) => {
  const server = await startServer(t, { pki, transport: 'uds' })
  const flags = ['--agent-id=twin']
  const twin = await startAgent(t, server, { flags })
  await startAgent(t, server, { flags })
  const sockets = await Promise.all(Array.from({ length: 20 }, () => openTunnel(server, target.address)))
  await Promise.all(sockets.map((socket, index) => echoOver(socket, `twin ${index}`)))
  for (const socket of sockets) socket.destroy()
  t.equal(await figure(server, `${SERVER}ready_backends{proxy_strategy="default"}`), 1, 'by id')
  await figureBecomes(server, `${SERVER}grpc_connections{service_method="Connect"}`, 2)
  twin.signal('SIGKILL')
  await figureBecomes(server, `${SERVER}grpc_connections{service_method="Connect"}`, 1)
  t.equal(await figure(server, `${SERVER}ready_backends{proxy_strategy="default"}`), 1)
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'the twin that is left')
  socket.destroy()
})

t.test('an agent connects to as many servers as they say there are, each once', async (t) => {
  const count = ['--server-count=2']
  const first = await startServer(t, { pki, flags: [...count, '--server-id=s-1'] })
  const agent = await startAgent(t, first)
  t.match(await agent.logged('connected'), { server_id: 's-1' })
  await eventually(
    'it has tried for the second server and let the duplicate go',
    () => first.log.filter(({ msg }) => msg === 'agent disconnected').length,
    (tries) => tries >= 2,
  )
  t.equal(await figure(agent, 'konnectivity_network_proxy_agent_open_server_connections'), 1)
  t.equal(await figure(agent, 'konnectivity_network_proxy_agent_known_server_count'), 2)
  const socket = await openTunnel(first, target.address)
  await echoOver(socket, 'the first connection is the one that stayed')
  socket.destroy()
})
