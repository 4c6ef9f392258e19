/** The agent dies without a word in the middle of a transfer, and comes back. */
import { once } from 'node:events'
import t from 'tap'
import { within } from '../integration/deadline.ts'
import { makerUnderTest, startCluster } from './cluster.ts'
import { POD } from './objects.ts'
import { askPod } from './pod-proxy.ts'

const BACK_WITHIN_MS = 2_000
/** Less than the heartbeat's patience: the end of the connection must tell, not its silence. */
const NOTICED_WITHIN_MS = 5_000
/** Whether the killed agent's kernel says FIN or RST, and in the middle of what, is different each time. */
const ROUNDS = 10

const cluster = await startCluster({
  server: makerUnderTest,
  agent: makerUnderTest,
  kubeApiServer: 'v1.36.3',
  egress: 'http-connect-tcp',
  agents: 1,
  certificates: 'culvert',
})
t.teardown(cluster.remove)
const { kubectl, agents, startAgent } = cluster

let alive = agents[0]
for (let round = 1; round <= ROUNDS; round++) {
  await t.test(`an exec ends when the agent is killed, and the next one works: round ${round}`, async (t) => {
    const agent = alive ?? (await startAgent(0)) // an earlier round may have failed before its end
    alive = undefined
    const transfer = kubectl.follow('exec', POD, '--', 'cat', '/dev/zero')
    transfer.stdin?.end()
    const ended = once(transfer, 'exit')
    await within(once(transfer.stdout!, 'data'), 'the exec sends something')
    transfer.stdout?.resume()

    agent.signal('SIGKILL')
    const noticed = within(ended, 'the end of the exec', NOTICED_WITHIN_MS)
    t.equal(await agent.ended, 'SIGKILL')
    await noticed // its code says nothing: kube-apiserver hands a lost kubelet on to kubectl as an end, and kubectl exits with 0
    t.pass('the exec, which would go on for ever, ended')
    const alone = await kubectl(['exec', POD, '--', 'true'])
    t.not(alone.code, 0, 'without an agent nothing reaches the cell')

    alive = await startAgent(0)
    const back = performance.now()
    const exec = await kubectl(['exec', POD, '--', 'echo', 'back'], { deadlineMs: BACK_WITHIN_MS })
    t.equal(exec.stdout.toString(), 'back\n', exec.stderr)
    await askPod(kubectl, BACK_WITHIN_MS)
    t.comment(`exec and pod proxy ${Math.round(performance.now() - back)} ms after the reconnection`)
  })
}
