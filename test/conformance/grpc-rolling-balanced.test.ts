/**
 * A rolling restart of three servers of ours over TLS and behind balancers, and then of an agent of ours and one of konnectivity,
 * under konnectivity's client library with a gRPC connection for each dial and with one for all: no byte is lost, no dial fails.
 */
import t, { type Test } from 'tap'
import { type Balancer, startBalancer } from '../integration/balancer.ts'
import { makePki, temporaryFolder } from '../integration/certificates.ts'
import { AGENT, figureBecomes } from '../integration/figures.ts'
import { type Balanced, balanceReady, stickToReady } from '../integration/ready-servers.ts'
import { nobodyNoticed, restartServers, SERVER_IDS, startServers, stopInOrder } from '../integration/rolling.ts'
import { type SteadyLoad, startLoad, together } from '../integration/steady-load.ts'
import { type Agent, launchAgent } from '../integration/tunnel.ts'
import { makeAsk, open } from './frontend.ts'
import { agentOf, type RunningAgent, stopDrained } from './programs-of.ts'

const STOCK = 'v0.36.0'
const pki = await makePki(t)
t.setTimeout(300_000)

async function startClients(t: Test, servers: () => readonly Balanced[]): Promise<SteadyLoad> {
  const start = async (client: 'v0.36.0' | 'v0.37.0', { port }: Balancer, name: string): Promise<SteadyLoad> => {
    const frontend = { pki, frontendPort: port, socketPath: '' }
    const ask = await makeAsk(t, { mode: 'grpc', transport: 'tls', client }, frontend, temporaryFolder(t))
    return startLoad(t, (address) => open(ask, address), { halfClose: false, name })
  }
  return together([
    await start('v0.36.0', await balanceReady(t, servers), 'one each'),
    await start('v0.37.0', await stickToReady(t, servers), 'one connection'),
  ])
}

t.test('no client of the library notices that servers and agents are restarted', { timeout: 0 }, async (t) => {
  const servers = await startServers(t, pki, 'grpc')
  const toAgents = await startBalancer(t, () => servers.map(({ agentPort }) => agentPort))
  const agentPort = { pki, agentPort: toAgents.port }
  const holdsAll = (agent: Agent | RunningAgent): Promise<unknown> =>
    figureBecomes(agent, `${AGENT}open_server_connections`, SERVER_IDS.length)
  const startOurs = async (): Promise<Agent> => {
    const agent = await launchAgent(t, agentPort)
    await holdsAll(agent)
    return agent
  }
  const startStock = async (): Promise<RunningAgent> => {
    const agent = await agentOf(t, STOCK, agentPort, ['--sync-interval=200ms'])
    await holdsAll(agent)
    return agent
  }
  const ours = await startOurs()
  const stock = await startStock()

  const load = await startClients(t, () => servers)
  await load.goesOn(50, 3)
  await restartServers(t, servers, load, 'grpc')
  await Promise.all([ours, stock].map(holdsAll))
  await stopInOrder(t, ours, 'the end of our agent')
  await holdsAll(await startOurs())
  await load.goesOn(20, 1)
  await stopDrained(stock, servers)
  await startStock()
  await load.goesOn(20, 1)
  await nobodyNoticed(t, load)
})
