/** An agent with several servers: behind several hosts, some of which are dead, silent or somebody else, or behind one balancer. */
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { startBalancer } from './balancer.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { event, eventually } from './deadline.ts'
import { AGENT, fetchFrom, figure, figureBecomes } from './figures.ts'
import { closedPort, echo, idle, listenTarget, ownPort } from './target.ts'
import { type Agent, launchAgent, type Server, startServer } from './tunnel.ts'

const pki = await makePki(t)
const otherPki = await makePki(t)
const target = await listenTarget(t, echo)

/** Longer than any attempt that works needs here, and far shorter than one that gets no answer. */
const SOON_MS = 8_000

const serverNamed = (t: Test, id: string, ...flags: readonly string[]): Promise<Server> =>
  startServer(t, { pki, transport: 'uds', flags: [`--server-id=${id}`, ...flags] })

const hostFlags = (ports: readonly number[]): string[] => ports.map((port) => `--proxy-server-host=127.0.0.1:${port}`)

const connectedTo = (agent: Agent): string[] =>
  agent.log
    .filter(({ msg }) => msg === 'connected')
    .map(({ server_id }) => String(server_id))
    .sort()

const holds = (agent: Agent, ids: readonly string[], deadlineMs?: number): Promise<unknown> =>
  eventually(
    `the agent is connected to ${ids}`,
    () => connectedTo(agent),
    (found) => ids.every((id) => found.includes(id)),
    deadlineMs,
  )

async function serves(server: Server): Promise<void> {
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, `by way of ${server.socketPath}`)
  socket.destroy()
}

/** Speaks TLS and HTTP/2's ALPN, and then not another word. */
async function silentAfterHandshake(t: Test): Promise<number> {
  const { server: leaf, authority } = pki
  const listener = createTlsServer({
    cert: leaf.cert,
    key: leaf.key,
    ca: authority.certificatePem,
    requestCert: true,
    ALPNProtocols: ['h2'],
  })
  listener.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
    socket.resume()
  })
  listener.listen(0, '127.0.0.1')
  t.teardown(() => listener.close())
  await event(listener, 'listening')
  return (listener.address() as { port: number }).port
}

t.test('hosts that are dead, silent or somebody else do not keep an agent from the others', async (t) => {
  const [a, b] = [await serverNamed(t, 'a'), await serverNamed(t, 'b')]
  const stranger = await startServer(t, { pki: otherPki, transport: 'uds' })
  const dead = Number((await closedPort()).split(':')[1])
  const accepts = await listenTarget(t, idle)
  const noTls = await listenTarget(t, (socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
  const bad = [dead, accepts.port, await silentAfterHandshake(t), stranger.agentPort, noTls.port]
  const agent = await launchAgent(t, a, { flags: hostFlags([...bad, a.agentPort, b.agentPort]) })
  await holds(agent, ['a', 'b'], SOON_MS)
  await Promise.all([serves(a), serves(b)])
  t.equal(await figure(agent, `${AGENT}open_server_connections`), 2)
  t.equal((await fetchFrom(agent.healthPort, '/readyz')).status, 200)

  const failures = await eventually(
    'each that answers, and not as it should, has been told', // nobody waits for it
    () => new Set(agent.log.filter(({ msg }) => msg === 'could not connect').map(({ server }) => server)),
    ({ size }) => size >= 3,
  )
  t.strictSame(failures, new Set([dead, stranger.agentPort, noTls.port].map((port) => `127.0.0.1:${port}`)))
})

t.test('an agent comes back to the host whose server was restarted, and keeps the others', async (t) => {
  const port = `--agent-port=${await ownPort()}`
  const [a, b] = [await serverNamed(t, 'a'), await serverNamed(t, 'b', port)]
  const agent = await launchAgent(t, a, { flags: hostFlags([a.agentPort, b.agentPort]) })
  await holds(agent, ['a', 'b'])
  b.signal('SIGKILL')
  await agent.logged('disconnected')
  await serves(a)
  const again = await serverNamed(t, 'again', port)
  await holds(agent, ['again'], SOON_MS)
  await Promise.all([serves(a), serves(again)])
  t.equal(agent.log.filter(({ msg }) => msg === 'disconnected').length, 1)
})

t.test('two ways to one server are one connection', async (t) => {
  const server = await serverNamed(t, 'a')
  const balancer = await startBalancer(t, () => [server.agentPort])
  const ports = [server.agentPort, balancer.port, server.agentPort]
  const agent = await launchAgent(t, server, { flags: hostFlags(ports) })
  await eventually(
    'both were tried',
    () => server.log.filter(({ msg }) => msg === 'agent connected').length,
    (count) => count === 2,
  )
  await eventually(
    'one of them was let go',
    () => server.log.filter(({ msg }) => msg === 'agent disconnected').length,
    (count) => count === 1,
  )
  t.equal(await figure(agent, `${AGENT}open_server_connections`), 1)
  t.strictSame(connectedTo(agent), ['a'])
  await serves(server)
})

t.test('behind one balancer an agent finds as many servers as they say there are', async (t) => {
  const servers = await Promise.all(['a', 'b', 'c'].map((id) => serverNamed(t, id, '--server-count=3')))
  const ports = servers.map(({ agentPort }) => agentPort)
  const balancer = await startBalancer(t, () => ports)
  const agent = await launchAgent(t, { pki, agentPort: balancer.port })
  await holds(agent, ['a', 'b', 'c'])
  await Promise.all(servers.map(serves))
  t.equal(await figure(agent, `${AGENT}known_server_count`), 3)
  t.equal(await figure(agent, `${AGENT}open_server_connections`), 3)
  const passed = balancer.passed()
  t.ok(passed <= 4, `with ${passed} attempts`)
})

t.test('a frozen server behind a balancer does not keep an agent from the others', async (t) => {
  const servers = await Promise.all(['a', 'b', 'c'].map((id) => serverNamed(t, id, '--server-count=3')))
  const [frozen] = servers
  frozen!.signal('SIGSTOP')
  const ports = servers.map(({ agentPort }) => agentPort)
  const balancer = await startBalancer(t, () => ports)
  const agent = await launchAgent(t, { pki, agentPort: balancer.port })
  await holds(agent, ['b', 'c'], SOON_MS)
  t.equal((await fetchFrom(agent.healthPort, '/readyz')).status, 200)
  frozen!.signal('SIGCONT')
  await holds(agent, ['a'])
  await figureBecomes(agent, `${AGENT}open_server_connections`, 3)
})

t.test('an agent that syncs for ever meets servers that were added later', async (t) => {
  const ports: number[] = []
  const a = await serverNamed(t, 'a')
  ports.push(a.agentPort)
  const balancer = await startBalancer(t, () => ports)
  const agent = await launchAgent(t, { pki, agentPort: balancer.port }, { flags: ['--sync-forever'] })
  await holds(agent, ['a'])
  const b = await serverNamed(t, 'b')
  ports.push(b.agentPort)
  await holds(agent, ['b'])
  await Promise.all([serves(a), serves(b)])
})
