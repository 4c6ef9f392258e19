/**
 * A rolling restart of three servers and of two agents in gRPC mode, over TLS and behind balancers, under clients with one HTTP/2
 * connection for all dials and clients with one for each: no byte is lost and no dial fails where more than one is up.
 */
import t from 'tap'
import type { Balancer } from './balancer.ts'
import { makePki } from './certificates.ts'
import { AGENT, figureBecomes } from './figures.ts'
import { dialOnOne, dialOnOneEach } from './grpc-dialers.ts'
import { balanceReady, stickToReady } from './ready-servers.ts'
import { isReady, nobodyNoticed, restartServers, SERVER_IDS, startServers, stopInOrder } from './rolling.ts'
import { startLoad, together } from './steady-load.ts'
import { type Agent, launchAgent } from './tunnel.ts'

const pki = await makePki(t)

t.test('servers and agents are restarted one after the other, and no client notices', { timeout: 0 }, async (t) => {
  const servers = await startServers(t, pki, 'grpc')
  const hosts = servers.map(({ agentPort }) => `--proxy-server-host=127.0.0.1:${agentPort}`)
  const startAgent = async (id: string): Promise<Agent> => {
    const agent = await launchAgent(t, servers[0]!, { flags: [...hosts, `--agent-id=${id}`] })
    await holdsAll(agent)
    return agent
  }
  const holdsAll = (agent: Agent): Promise<unknown> =>
    figureBecomes(agent, `${AGENT}open_server_connections`, SERVER_IDS.length)
  const agents = [await startAgent('a-0'), await startAgent('a-1')]
  await Promise.all(servers.map(isReady))

  const behind = ({ port }: Balancer) => ({ pki, transport: 'tls', frontendPort: port, socketPath: '' }) as const
  const one = dialOnOne(t, behind(await stickToReady(t, () => servers)))
  const each = dialOnOneEach(t, behind(await balanceReady(t, () => servers)))
  const load = together([
    await startLoad(t, one.dial, { halfClose: false, name: 'one connection' }),
    await startLoad(t, each.dial, { halfClose: false, name: 'one each' }),
  ])
  await load.goesOn(50, 3)
  t.equal(one.connections(), 1)
  await restartServers(t, servers, load, 'grpc')
  const renewed = one.connections() - 1
  t.ok(renewed >= 1 && renewed <= 2 * SERVER_IDS.length, `renewed ${renewed} times`)
  await Promise.all(agents.map(holdsAll))
  for (const [index, agent] of agents.entries()) {
    await stopInOrder(t, agent, 'the end of an agent')
    agents[index] = await startAgent(`a-${index}`)
    await load.goesOn(20, 1)
  }
  await nobodyNoticed(t, load)
  t.equal(one.connections() - 1, renewed, 'an agent that goes costs no connection of a client')
  t.comment(`${each.connections()} connections; opened again: ${one.openedAgain()} and ${each.openedAgain()} calls`)
})
