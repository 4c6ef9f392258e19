/** An agent writes its own heartbeats: what a server keeps of one, and shows to whoever lists agents, is bounded. */
import t from 'tap'
import { eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { startServer } from './tunnel.ts'
import { allExtensions, joinWireAgent } from './wire-agent.ts'

const MEBIBYTE = 1024 * 1024

t.test('a heartbeat with texts of a mebibyte leaves its figures and none of the texts', async (t) => {
  const server = await startServer(t)
  const agent = await joinWireAgent(t, server, allExtensions)
  const long = 'v'.repeat(MEBIBYTE)
  const health = { agentVersion: long, apiServerVersion: long, pivotPhase: 'idle', openConnections: 7 }
  agent.send({ type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health })
  const shown = await eventually(
    'the heartbeat is shown',
    async () => (await fetchFrom(server.adminPort, '/v1/clusters')).text(),
    (text) => text.includes('"openConnections": 7'),
  )
  t.ok(shown.length < 4_096, `${shown.length} characters`)
  t.match(JSON.parse(shown).clusters[0].agents[0].health, { pivotPhase: 'idle', agentVersion: undefined })
})
