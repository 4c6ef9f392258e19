/** A rolling restart of three servers under load: no byte is lost and no request fails where more than one is up. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { AGENT, figureBecomes } from './figures.ts'
import { connectThroughReady } from './ready-servers.ts'
import { isReady, nobodyNoticed, restartServers, SERVER_IDS, startServers } from './rolling.ts'
import { startLoad } from './steady-load.ts'
import { type Agent, launchAgent } from './tunnel.ts'

const pki = await makePki(t)

const holdsAll = (agent: Agent): Promise<unknown> =>
  figureBecomes(agent, `${AGENT}open_server_connections`, SERVER_IDS.length)

t.test('three servers are restarted one after the other, and no client notices', { timeout: 0 }, async (t) => {
  const servers = await startServers(t, pki)
  const hosts = servers.map(({ agentPort }) => `--proxy-server-host=127.0.0.1:${agentPort}`)
  const agents = await Promise.all(
    ['a-0', 'a-1'].map((id) => launchAgent(t, servers[0]!, { flags: [...hosts, `--agent-id=${id}`] })),
  )
  await Promise.all([...servers.map(isReady), ...agents.map(holdsAll)])
  const load = await startLoad(
    t,
    connectThroughReady(t, () => servers),
    { halfClose: true },
  )
  await load.goesOn(50, 3)
  await restartServers(t, servers, load)
  await nobodyNoticed(t, load)
  await Promise.all(agents.map(holdsAll))
})
