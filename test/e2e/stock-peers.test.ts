/** Each of our two ends beside konnectivity's other one: a smoke test; test/conformance holds the matrix. */
import t from 'tap'
import { startCluster } from './cluster.ts'
import { POD } from './objects.ts'
import { askPod } from './pod-proxy.ts'
import type { Maker } from './tunnel.ts'

const DEADLINE_MS = 10_000
const EXEC_BYTES = 8 * 1024 * 1024

for (const [server, agent] of [
  ['ours', 'stock'],
  ['stock', 'ours'],
] as const satisfies [Maker, Maker][]) {
  await t.test(`server of ${server}, agent of ${agent}: pod proxy and exec`, async (t) => {
    const cluster = await startCluster({
      server,
      agent,
      kubeApiServer: 'v1.36.3',
      egress: 'http-connect-tcp',
      agents: 1,
      certificates: 'openssl',
    })
    t.teardown(cluster.remove)
    t.ok((await askPod(cluster.kubectl, DEADLINE_MS)) > 0, 'pod proxy')
    const exec = await cluster.kubectl(['exec', POD, '--', 'head', '-c', String(EXEC_BYTES), '/dev/zero'])
    t.equal(exec.stdout.length, EXEC_BYTES, `exec: ${exec.stderr}`)
    t.equal(exec.code, 0)
  })
}
