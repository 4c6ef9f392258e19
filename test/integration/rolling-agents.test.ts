/** A rolling restart of two agents under load: no byte is lost and no request fails where one of them is up. */
import t from 'tap'
import { startBalancer } from './balancer.ts'
import { makePki } from './certificates.ts'
import { AGENT, figureBecomes } from './figures.ts'
import { connectThroughReady } from './ready-servers.ts'
import { isReady, nobodyNoticed, SERVER_IDS, startServers, stopInOrder } from './rolling.ts'
import { startLoad } from './steady-load.ts'
import { type Agent, launchAgent } from './tunnel.ts'

const pki = await makePki(t)

/** By way of these ports; when it says that it is ready, which means one server at least. */
async function start(ports: readonly number[], id: string): Promise<Agent> {
  const hosts = ports.map((port) => `--proxy-server-host=127.0.0.1:${port}`)
  const flags = [...hosts, `--agent-id=${id}`, '--sync-interval=1s']
  const agent = await launchAgent(t, { pki, agentPort: ports[0]! }, { flags })
  await isReady(agent)
  return agent
}

const holdsAll = (agent: Agent, count: number): Promise<unknown> =>
  figureBecomes(agent, `${AGENT}open_server_connections`, count)

for (const behind of ['a host for each', 'one balancer'] as const) {
  t.test(`two agents are restarted, servers behind ${behind}, and no client notices`, { timeout: 0 }, async (t) => {
    const servers = await startServers(t, pki)
    const agentPorts = servers.map(({ agentPort }) => agentPort)
    const ports = behind === 'one balancer' ? [(await startBalancer(t, () => agentPorts)).port] : agentPorts
    const agents = [await start(ports, 'a-0'), await start(ports, 'a-1')]
    await Promise.all(agents.map((agent) => holdsAll(agent, SERVER_IDS.length)))
    const load = await startLoad(
      t,
      connectThroughReady(t, () => servers),
      { halfClose: true },
    )
    await load.goesOn(50, 3)
    for (const [index, agent] of agents.entries()) {
      await stopInOrder(t, agent, 'the end of an agent')
      agents[index] = await start(ports, `a-${index}`)
    }
    await load.goesOn(20, 1)
    await nobodyNoticed(t, load)
  })
}
