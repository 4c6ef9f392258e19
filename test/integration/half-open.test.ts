/** Peers that are there for TCP and silent: noticed by missing heartbeats, on both ends, and left. */
import { connect } from 'node:net'
import t from 'tap'
import { makePki } from './certificates.ts'
import { askFor, connectFrontend, connectHead, echoOver, endOf, openTunnel, readAll } from './client.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, fetchFrom, figure, figureBecomes, SERVER } from './figures.ts'
import { closedPort, dialsUnderWay, echo, listenTarget, stuckTarget } from './target.ts'
import { launchAgent, startAgent, startServer, startTunnel } from './tunnel.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
/**
 * Silence of so long is noticed by the next look at the clock, half a second later at most. A busy machine may stop a program for a
 * second or two that is none of those which are to be left.
 */
const serverFlags = ['--heartbeat-timeout=3s']
const agentFlags = ['--heartbeat-interval=200ms', '--heartbeat-timeout=3s']
const NOTICED_MS = 7_000

t.test('a server drops an agent that is stopped, and breaks what is open through it', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, flags: serverFlags }, { flags: agentFlags })
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'before')
  const ended = endOf(socket)
  agent.signal('SIGSTOP')
  const { reason } = await within(server.logged('agent stream ended by the server'), 'the server notices', NOTICED_MS)
  t.equal(reason, 'nothing heard from the agent for too long')
  await ended
  await figureBecomes(server, 'culvert_server_agent_stream_ends_total{how="heartbeat_timeout"}', 1)
  t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 500)
  t.match(await askFor(server, target.address), { status: 500 })

  agent.signal('SIGCONT')
  await server.logged('agent connected', 2)
  const again = await openTunnel(server, target.address)
  await echoOver(again, 'it came back by itself')
  again.destroy()
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
})

t.test('the pending dials of an agent that is stopped get 502 when there is no other', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, flags: serverFlags }, { flags: agentFlags })
  agent.signal('SIGSTOP')
  const answer = await askFor(server, target.address)
  t.match(answer, { status: 502, headers: { 'proxy-status': /^culvert; error=connection_terminated;/ } })
  t.equal(answer.body, 'Backend context error: nothing heard from the agent for too long\r\n')
  t.equal(await figure(server, `${SERVER}dial_failure_count{reason="backend_close"}`), 1)
  t.equal(await figure(server, `${SERVER}pending_backend_dials`), 0)
})

t.test('the pending dials of an agent that is stopped are tried on another one', async (t) => {
  const flags = [...serverFlags, '--proxy-strategies=destHost,default'] // who names the target is asked first, not who is drawn
  const named = [...agentFlags, '--agent-identifiers=ipv4=127.0.0.1']
  const { server, agent } = await startTunnel(t, { pki, flags }, { flags: named })
  await startAgent(t, server, { flags: agentFlags })
  agent.signal('SIGSTOP')
  const socket = await connectFrontend(server)
  t.teardown(() => socket.destroy())
  const received = readAll(socket)
  socket.write(connectHead(target.address))
  socket.end('over the other')
  t.match((await received).toString(), /^HTTP\/1\.1 200 [\s\S]*over the other$/)
  t.ok((await figure(server, `${SERVER}dial_duration_seconds_sum`)) > 1, 'the first was asked, and left')
})

t.test('an agent leaves a server that is stopped, and ends what is open and under way through it', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, flags: serverFlags }, { flags: agentFlags })
  const accepted = target.next()
  const open = await openTunnel(server, target.address)
  const ended = endOf(await accepted)
  open.on('error', () => undefined)
  const stuck = await stuckTarget(t)
  const dialling = await connectFrontend(server)
  dialling.on('error', () => undefined)
  dialling.write(connectHead(stuck.address))
  await eventually(
    'the agent dials',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 1,
  )

  server.signal('SIGSTOP')
  t.match(await within(agent.logged('disconnected'), 'the agent notices', NOTICED_MS), {
    reason: 'nothing heard from the server for too long',
  })
  await ended
  await eventually(
    'the agent stops dialling',
    () => dialsUnderWay(stuck.port),
    (found) => found.length === 0,
  )
  t.equal((await fetchFrom(agent.healthPort, '/readyz')).status, 503)
  t.equal(await figure(agent, `${AGENT}open_server_connections`), 0)

  server.signal('SIGCONT')
  await agent.logged('connected', 2)
  const again = await openTunnel(server, target.address)
  await echoOver(again, 'it came back by itself')
  for (const socket of [again, open, dialling]) socket.destroy()
})

t.test('a tunnel that is busy or idle for longer than the heartbeat timeout stays', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, flags: serverFlags }, { flags: agentFlags })
  const socket = await openTunnel(server, target.address)
  const beats = '{segment="from_agent",packet_type="HEARTBEAT"}'
  await eventually(
    'heartbeats for more than the timeout',
    () => figure(agent, `${AGENT}stream_packets_total${beats}`),
    (count) => count >= 12, // a few at once, then one at each look
  )
  await echoOver(socket, 'still there')
  socket.destroy()
  t.equal(server.log.filter(({ msg }) => msg === 'agent connected').length, 1)
})

t.test('an agent connects again when its server was restarted', async (t) => {
  const first = await startServer(t, { pki })
  let agentPort = first.agentPort
  // The port of a restarted server stays, but only what is in front of it can be sure of that here.
  const front = await listenTarget(t, (socket) => {
    const way = connect(agentPort, '127.0.0.1')
    way.on('error', () => socket.destroy())
    way.on('close', () => socket.destroy())
    socket.on('close', () => way.destroy())
    socket.pipe(way).pipe(socket)
  })
  const agent = await launchAgent(t, { pki, agentPort: front.port })
  await agent.logged('connected')
  agentPort = Number((await closedPort()).split(':')[1]) // that of the first may be given to somebody else once it is free
  first.signal('SIGKILL')
  await agent.logged('could not connect')
  t.equal((await fetchFrom(agent.healthPort, '/readyz')).status, 503)
  const second = await startServer(t, { pki })
  agentPort = second.agentPort
  await second.logged('agent connected')
  const socket = await openTunnel(second, target.address)
  await echoOver(socket, 'after the restart')
  socket.destroy()
})
