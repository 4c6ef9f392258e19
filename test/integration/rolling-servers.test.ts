/** A rolling restart of three servers under load: no byte is lost and no request fails where more than one is up. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, fetchFrom, figure } from './figures.ts'
import { startLoad } from './steady-load.ts'
import { type Agent, launchAgent, type Server, startServer } from './tunnel.ts'

/** Longer than the longest drain, on a machine that does other things. */
const RESTART_MS = 60_000
const pki = await makePki(t)

const start = (id: string, ...flags: readonly string[]): Promise<Server> =>
  startServer(t, { pki, flags: [`--server-id=${id}`, '--server-count=3', ...flags] })

/** As a supervisor does: the next one starts when the one before has ended, with the same name on the same ports. */
async function restart(server: Server, id: string): Promise<Server> {
  server.signal('SIGTERM')
  t.strictSame(await within(server.ended, 'the end of a server', RESTART_MS), { code: 0, signal: null })
  const ports = (['agent', 'health', 'admin'] as const).map((name) => `--${name}-port=${server[`${name}Port`]}`)
  return start(id, ...ports, '--server-listen-any=false', `--server-port=${server.frontendPort}`)
}

const isReady = (server: Server): Promise<unknown> =>
  eventually(
    'the server is ready',
    async () => (await fetchFrom(server.healthPort, '/readyz')).status,
    (status) => status === 200,
  )

const holdsAll = (agent: Agent): Promise<unknown> =>
  eventually(
    'the agent is connected to all servers',
    () => figure(agent, `${AGENT}open_server_connections`),
    (count) => count === 3,
  )

t.test('three servers are restarted one after the other, and no client notices', { timeout: 0 }, async (t) => {
  const ids = ['s-0', 's-1', 's-2']
  const servers = await Promise.all(ids.map((id) => start(id)))
  const hosts = servers.map(({ agentPort }) => `--proxy-server-host=127.0.0.1:${agentPort}`)
  const agents = await Promise.all(
    ['a-0', 'a-1'].map((id) => launchAgent(t, servers[0]!, { flags: [...hosts, `--agent-id=${id}`] })),
  )
  await Promise.all([...servers.map(isReady), ...agents.map(holdsAll)])
  const load = await startLoad(t, () => servers)
  await load.goesOn(50, 3)
  for (const [index, id] of ids.entries()) {
    servers[index] = await restart(servers[index]!, id)
    await isReady(servers[index]!)
    await load.goesOn(20, 1)
  }
  await load.stop()
  t.strictSame(load.failures, [])
  const { requests, transfers } = load.count()
  t.comment(`${requests} requests and ${transfers} transfers`)
  await Promise.all(agents.map(holdsAll))
})
