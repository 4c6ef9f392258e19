/**
 * Rolling restarts under load where the other end is konnectivity's: our servers with its agents, which know no GOING_AWAY and
 * no end of their own, and our agents on its servers. No client notices.
 */
import t from 'tap'
import { startBalancer } from '../integration/balancer.ts'
import { makePki } from '../integration/certificates.ts'
import { eventually, within } from '../integration/deadline.ts'
import { AGENT, fetchFrom, figure, figureBecomes } from '../integration/figures.ts'
import { startLoad } from '../integration/steady-load.ts'
import { type Agent, launchAgent, type Server, startServer } from '../integration/tunnel.ts'
import { agentOf, type RunningAgent, serverOf } from './programs-of.ts'

const STOCK = 'v0.36.0'
/** Longer than the longest drain, on a machine that does other things. */
const RESTART_MS = 60_000
const ids = ['s-0', 's-1', 's-2']
const pki = await makePki(t)
t.setTimeout(300_000)

const start = (id: string, ...flags: readonly string[]): Promise<Server> =>
  startServer(t, { pki, flags: [`--server-id=${id}`, `--server-count=${ids.length}`, ...flags] })

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

t.test(
  "no client notices that servers of ours and konnectivity's agents are restarted in turn",
  { timeout: 0 },
  async (t) => {
    const servers = await Promise.all(ids.map((id) => start(id)))
    const balancer = await startBalancer(t, () => servers.map(({ agentPort }) => agentPort))
    const startAgent = async (): Promise<RunningAgent> => {
      const agent = await agentOf(t, STOCK, { pki, agentPort: balancer.port }, ['--sync-interval=200ms'])
      await figureBecomes(agent, `${AGENT}open_server_connections`, ids.length)
      return agent
    }
    const agents = [await startAgent(), await startAgent()]
    const load = await startLoad(t, () => servers, false)
    await load.goesOn(50, 3)
    for (const [index, id] of ids.entries()) {
      servers[index] = await restart(servers[index]!, id)
      await isReady(servers[index]!)
      await load.goesOn(20, 1)
    }
    for (const [index, agent] of agents.entries()) {
      await figureBecomes(agent, `${AGENT}open_server_connections`, ids.length)
      await figureBecomes(agents[1 - index]!, `${AGENT}open_server_connections`, ids.length)
      agent.signal('SIGTERM') // it says that it drains, and does not end by itself
      await eventually(
        'nothing is open through it',
        () => figure(agent, `${AGENT}open_endpoint_connections`),
        (count) => count === 0,
        RESTART_MS,
      )
      await agent.kill('SIGKILL')
      agents[index] = await startAgent()
      await load.goesOn(20, 1)
    }
    await load.stop()
    t.strictSame(load.failures, [])
    const { requests, transfers } = load.count()
    t.comment(`${requests} requests and ${transfers} transfers`)
  },
)

t.test(
  "no client notices that agents of ours are restarted in turn on konnectivity's servers",
  { timeout: 0 },
  async (t) => {
    const servers = await Promise.all(['s-0', 's-1'].map((id) => serverOf(t, STOCK, pki, [`--server-id=${id}`])))
    const hosts = servers.map(({ agentPort }) => `--proxy-server-host=127.0.0.1:${agentPort}`)
    const startAgent = async (id: string): Promise<Agent> => {
      const agent = await launchAgent(t, servers[0]!, { flags: [...hosts, `--agent-id=${id}`] })
      await figureBecomes(agent, `${AGENT}open_server_connections`, servers.length)
      return agent
    }
    const agents = [await startAgent('a-0'), await startAgent('a-1')]
    const load = await startLoad(t, () => servers, false)
    await load.goesOn(50, 3)
    for (const round of [1, 2]) {
      for (const [index, agent] of agents.entries()) {
        agent.signal('SIGTERM')
        const ended = await within(agent.ended, 'the end of an agent', RESTART_MS)
        t.strictSame(ended, { code: 0, signal: null }, `agent ${index}, round ${round}`)
        agents[index] = await startAgent(`a-${index}`)
        await load.goesOn(20, 1)
      }
    }
    await load.stop()
    t.strictSame(load.failures, [])
  },
)
