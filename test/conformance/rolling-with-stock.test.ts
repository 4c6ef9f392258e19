/**
 * Rolling restarts under load where the other end is konnectivity's: our servers with its agents, which know no GOING_AWAY and
 * no end of their own, and our agents on its servers. No client notices.
 */
import t from 'tap'
import { startBalancer } from '../integration/balancer.ts'
import { makePki } from '../integration/certificates.ts'
import { AGENT, figureBecomes } from '../integration/figures.ts'
import { connectThroughReady } from '../integration/ready-servers.ts'
import { nobodyNoticed, restartServers, SERVER_IDS, startServers, stopInOrder } from '../integration/rolling.ts'
import { startLoad } from '../integration/steady-load.ts'
import { type Agent, launchAgent } from '../integration/tunnel.ts'
import { agentOf, type RunningAgent, serverOf, stopDrained } from './programs-of.ts'

const STOCK = 'v0.36.0'
const pki = await makePki(t)
t.setTimeout(300_000)

t.test(
  "no client notices that servers of ours and konnectivity's agents are restarted in turn",
  { timeout: 0 },
  async (t) => {
    const servers = await startServers(t, pki)
    const balancer = await startBalancer(t, () => servers.map(({ agentPort }) => agentPort))
    const startAgent = async (): Promise<RunningAgent> => {
      const agent = await agentOf(t, STOCK, { pki, agentPort: balancer.port }, ['--sync-interval=200ms'])
      await figureBecomes(agent, `${AGENT}open_server_connections`, SERVER_IDS.length)
      return agent
    }
    const agents = [await startAgent(), await startAgent()]
    const load = await startLoad(
      t,
      connectThroughReady(t, () => servers),
      { halfClose: false },
    )
    await load.goesOn(50, 3)
    await restartServers(t, servers, load)
    for (const [index, agent] of agents.entries()) {
      await figureBecomes(agent, `${AGENT}open_server_connections`, SERVER_IDS.length)
      await figureBecomes(agents[1 - index]!, `${AGENT}open_server_connections`, SERVER_IDS.length)
      await stopDrained(agent, servers)
      agents[index] = await startAgent()
      await load.goesOn(20, 1)
    }
    await nobodyNoticed(t, load)
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
    const load = await startLoad(
      t,
      connectThroughReady(t, () => servers),
      { halfClose: false },
    )
    await load.goesOn(50, 3)
    for (const round of [1, 2]) {
      for (const [index, agent] of agents.entries()) {
        await stopInOrder(t, agent, `the end of agent ${index} in round ${round}`)
        agents[index] = await startAgent(`a-${index}`)
        await load.goesOn(20, 1)
      }
    }
    await nobodyNoticed(t, load)
  },
)
