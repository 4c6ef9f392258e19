/** A rolling restart of two agents under load: no byte is lost and no request fails where one of them is up. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, figure } from './figures.ts'
import { startLoad } from './steady-load.ts'
import { type Agent, launchAgent, type Server, startServer } from './tunnel.ts'

/** Longer than the longest drain, on a machine that does other things. */
const RESTART_MS = 60_000
const pki = await makePki(t)

async function start(servers: readonly Server[], id: string): Promise<Agent> {
  const hosts = servers.map(({ agentPort }) => `--proxy-server-host=127.0.0.1:${agentPort}`)
  const agent = await launchAgent(t, servers[0]!, { flags: [...hosts, `--agent-id=${id}`] })
  await eventually(
    'the agent is connected to all servers',
    () => figure(agent, `${AGENT}open_server_connections`),
    (count) => count === servers.length,
  )
  return agent
}

t.test('two agents are restarted one after the other, and no client notices', { timeout: 0 }, async (t) => {
  const servers = await Promise.all(['s-0', 's-1'].map((id) => startServer(t, { pki, flags: [`--server-id=${id}`] })))
  const ids = ['a-0', 'a-1']
  const agents = await Promise.all(ids.map((id) => start(servers, id)))
  const load = await startLoad(t, () => servers)
  await load.goesOn(50, 3)
  for (const round of [1, 2]) {
    for (const [index, id] of ids.entries()) {
      agents[index]!.signal('SIGTERM')
      const ended = await within(agents[index]!.ended, 'the end of an agent', RESTART_MS)
      t.strictSame(ended, { code: 0, signal: null }, `${id}, round ${round}`)
      agents[index] = await start(servers, id)
      await load.goesOn(20, 1)
    }
  }
  await load.stop()
  t.strictSame(load.failures, [])
  const { requests, transfers } = load.count()
  t.comment(`${requests} requests and ${transfers} transfers`)
})
