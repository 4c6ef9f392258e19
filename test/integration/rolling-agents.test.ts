/** A rolling restart of two agents under load: no byte is lost and no request fails where one of them is up. */
import t from 'tap'
import { startBalancer } from './balancer.ts'
import { makePki } from './certificates.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, fetchFrom, figureBecomes } from './figures.ts'
import { startLoad } from './steady-load.ts'
import { type Agent, launchAgent, startServer } from './tunnel.ts'

/** Longer than the longest drain, on a machine that does other things. */
const RESTART_MS = 60_000
const pki = await makePki(t)

/** By way of these ports; when it says that it is ready, which means one server at least. */
async function start(ports: readonly number[], id: string): Promise<Agent> {
  const hosts = ports.map((port) => `--proxy-server-host=127.0.0.1:${port}`)
  const flags = [...hosts, `--agent-id=${id}`, '--sync-interval=1s']
  const agent = await launchAgent(t, { pki, agentPort: ports[0]! }, { flags })
  await eventually(
    'the agent is ready',
    async () => (await fetchFrom(agent.healthPort, '/readyz')).status,
    (status) => status === 200,
  )
  return agent
}

const holdsAll = (agent: Agent, count: number): Promise<unknown> =>
  figureBecomes(agent, `${AGENT}open_server_connections`, count)

for (const behind of ['a host for each', 'one balancer'] as const) {
  t.test(`two agents are restarted, servers behind ${behind}, and no client notices`, { timeout: 0 }, async (t) => {
    const ids = ['s-0', 's-1', 's-2']
    const servers = await Promise.all(
      ids.map((id) => startServer(t, { pki, flags: [`--server-id=${id}`, `--server-count=${ids.length}`] })),
    )
    const agentPorts = servers.map(({ agentPort }) => agentPort)
    const ports = behind === 'one balancer' ? [(await startBalancer(t, () => agentPorts)).port] : agentPorts
    const agents = [await start(ports, 'a-0'), await start(ports, 'a-1')]
    await Promise.all(agents.map((agent) => holdsAll(agent, ids.length)))
    const load = await startLoad(t, () => servers)
    await load.goesOn(50, 3)
    for (const [index, agent] of agents.entries()) {
      agent.signal('SIGTERM')
      t.strictSame(await within(agent.ended, 'the end of an agent', RESTART_MS), { code: 0, signal: null })
      agents[index] = await start(ports, `a-${index}`)
    }
    await load.goesOn(20, 1)
    await load.stop()
    t.strictSame(load.failures, [])
    const { requests, transfers } = load.count()
    t.comment(`${requests} requests and ${transfers} transfers`)
  })
}
