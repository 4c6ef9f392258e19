/**
 * Our agent on konnectivity's own servers: several of them behind one address, restarted, asked for drains, and pinged for
 * minutes as often as they tolerate, which is seldom.
 */
import { connect as connectHttp2 } from 'node:http2'
import t, { type Test } from 'tap'
import { startBalancer } from '../integration/balancer.ts'
import { makePki } from '../integration/certificates.ts'
import { echoOver, openTunnel } from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { AGENT, figure, figureBecomes } from '../integration/figures.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { type Agent, launchAgent } from '../integration/tunnel.ts'
import { connectAgentPort } from '../integration/wire-agent.ts'
import { type RunningServer, serverOf } from './programs-of.ts'

const STOCK = 'v0.36.0'
/** Four pings of ours and more. */
const QUIET_MS = 130_000
const TOO_OFTEN_MS = 5_000
/** Dials of which one at least goes to the other of two agents, but once in a million times. */
const MANY = 20
/** Pings that come too soon: the third is one too many. */
const PATIENCE_MS = 60_000

const pki = await makePki(t)
const target = await listenTarget(t, echo)
t.setTimeout(QUIET_MS + 120_000)
t.jobs = 2 // the first one only waits

const connectedTo = (agent: Agent): string[] =>
  agent.log.filter(({ msg }) => msg === 'connected').map(({ server_id }) => String(server_id))

/** Konnectivity's server answers an agent a moment before it has one for dials. */
async function works(server: RunningServer): Promise<void> {
  await server.answersOk(server.healthPort, '/readyz')
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'through konnectivity')
  socket.destroy()
}

/** How long a client that pings every 5 s is suffered. */
async function pingTooOften(t: Test, server: RunningServer): Promise<string> {
  const socket = await connectAgentPort(t, server)
  const http = connectHttp2('https://127.0.0.1', { createConnection: () => socket })
  http.on('error', () => undefined)
  const headers = {
    ':method': 'POST',
    ':path': '/AgentService/Connect',
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  http.request({ ...headers, agentid: 'impatient' }).on('error', () => undefined)
  const timer = setInterval(() => http.ping(() => undefined), TOO_OFTEN_MS)
  const data = new Promise<string>((resolve) =>
    http.once('goaway', (_code, _last, why: Buffer) => resolve(String(why))),
  )
  return within(data, 'a GOAWAY', PATIENCE_MS).finally(() => {
    clearInterval(timer)
    http.destroy()
  })
}

void t.test(
  'an agent is suffered for minutes, and hears of a server that is still there',
  { timeout: 0 },
  async (t) => {
    const server = await serverOf(t, STOCK, pki)
    const agent = await launchAgent(t, server)
    await agent.logged('connected')
    const since = performance.now()
    t.equal(await pingTooOften(t, server), 'too_many_pings', 'the server does count pings')
    await new Promise((resolve) => setTimeout(resolve, since + QUIET_MS - performance.now()))
    const messages = agent.log.map(({ msg }) => msg)
    t.notOk(messages.includes('disconnected') || messages.includes('could not connect'), messages.join())
    await works(server)
  },
)

void t.test(
  'behind one address an agent finds three servers, each once, and one that was restarted',
  { timeout: 0 },
  async (t) => {
    const ids = ['s-0', 's-1', 's-2']
    const flags = (id: string): string[] => [`--server-id=${id}`, '--server-count=3']
    const servers = await Promise.all(ids.map((id) => serverOf(t, STOCK, pki, flags(id))))
    const ports = servers.map(({ agentPort }) => agentPort)
    const balancer = await startBalancer(t, () => ports)
    const agent = await launchAgent(t, { pki, agentPort: balancer.port }, { flags: ['--sync-interval=200ms'] })
    await figureBecomes(agent, `${AGENT}open_server_connections`, 3)
    t.equal(await figure(agent, `${AGENT}known_server_count`), 3)
    t.strictSame(connectedTo(agent).sort(), ids)
    await Promise.all(servers.map(works))

    const [first] = servers
    await first!.kill('SIGTERM')
    await agent.logged('disconnected')
    await figureBecomes(agent, `${AGENT}open_server_connections`, 2)
    t.equal(await figure(agent, `${AGENT}known_server_count`), 3)
    const again = [`--agent-port=${first!.agentPort}`, `--uds-name=${first!.socketPath}`]
    const back = await serverOf(t, STOCK, pki, [...flags('s-0'), ...again])
    servers[0] = { ...back, socketPath: first!.socketPath }
    await figureBecomes(agent, `${AGENT}open_server_connections`, 3)
    await Promise.all(servers.map(works))
    t.strictSame(connectedTo(agent).sort(), ['s-0', ...ids])
  },
)

void t.test(
  'several hosts are found where each server counts itself alone',
  { buffered: true, timeout: 0 },
  async (t) => {
    const servers = await Promise.all(['s-0', 's-1'].map((id) => serverOf(t, STOCK, pki, [`--server-id=${id}`])))
    const hosts = servers.map(({ agentPort }) => `--proxy-server-host=127.0.0.1:${agentPort}`)
    const agent = await launchAgent(t, servers[0]!, { flags: hosts })
    await figureBecomes(agent, `${AGENT}open_server_connections`, 2)
    await Promise.all(servers.map(works))
  },
)

void t.test(
  'an agent that drains gets no dials while another one is there, and ends with its last connection',
  { timeout: 0 },
  async (t) => {
    const server = await serverOf(t, STOCK, pki)
    const leaving = await launchAgent(t, server, { flags: ['--agent-id=leaving'] })
    await leaving.logged('connected')
    await works(server)
    const held = await openTunnel(server, target.address)
    const staying = await launchAgent(t, server, { flags: ['--agent-id=staying'] })
    await staying.logged('connected')
    leaving.signal('SIGTERM')
    await leaving.logged('draining')
    const dialled = (): Promise<number> => figure(staying, `${AGENT}dial_duration_seconds_count`)
    await eventually(
      'new connections go by way of the other one alone', // some do before the server has heard that the first one drains
      async () => {
        const before = await dialled()
        for (let count = 0; count < MANY; count++) await works(server)
        return (await dialled()) - before
      },
      (count) => count === MANY,
    )
    await figureBecomes(staying, `${AGENT}open_endpoint_connections`, 0)
    const sockets = await Promise.all(Array.from({ length: 10 }, () => openTunnel(server, target.address)))
    t.equal(await figure(staying, `${AGENT}open_endpoint_connections`), 10)
    await echoOver(held, 'what was open goes on')
    for (const socket of [...sockets, held]) socket.destroy()
    t.strictSame(await within(leaving.ended, 'its end', 20_000), { code: 0, signal: null })
  },
)
