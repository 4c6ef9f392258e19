/**
 * An agent stops without closing anything: its connection stays established and nothing comes any more. Only a heartbeat
 * can tell, and only our two ends have one.
 */
import t from 'tap'
import { makerUnderTest, startCluster } from './cluster.ts'
import { askPod } from './pod-proxy.ts'

const NOTICED_WITHIN_MS = 15_000
const BACK_WITHIN_MS = 30_000
const REQUESTS = 20
const REQUEST_DEADLINE_MS = 2_000
const ASK_EVERY_MS = 100

const skip = makerUnderTest === 'stock' && 'konnectivity has no heartbeats'

t.test('an agent that is stopped is left for the other one within 15 s', { skip }, async (t) => {
  const cluster = await startCluster({
    server: 'ours',
    agent: 'ours',
    kubeApiServer: 'v1.36.3',
    egress: 'http-connect-tcp',
    agents: 2,
    certificates: 'culvert',
  })
  t.teardown(cluster.remove)
  const { kubectl, agents, server } = cluster
  await connectedAgents(2, BACK_WITHIN_MS)
  await askPod(kubectl, REQUEST_DEADLINE_MS)

  const stopped = performance.now()
  agents[0]!.signal('SIGSTOP')
  await connectedAgents(1, NOTICED_WITHIN_MS)
  const noticedMs = performance.now() - stopped
  t.ok(noticedMs <= NOTICED_WITHIN_MS, `noticed after ${Math.round(noticedMs)} ms`)
  for (let request = 0; request < REQUESTS; request++) await askPod(kubectl, REQUEST_DEADLINE_MS)
  t.pass('every request after that goes through the agent that is left')

  agents[0]!.signal('SIGCONT')
  await connectedAgents(2, BACK_WITHIN_MS)
  t.pass('and the stopped one comes back when it runs again')

  /** The server's own count, asked until it is as wanted. */
  async function connectedAgents(wanted: number, deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs
    for (;;) {
      const [, ready] =
        /^konnectivity_network_proxy_server_ready_backend_connections\S* (\d+)$/m.exec(await server.metrics()) ?? []
      if (Number(ready) === wanted) return
      if (performance.now() > end)
        throw new Error(`${ready} agents are connected after ${deadlineMs} ms, not ${wanted}`)
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
    }
  }
})
