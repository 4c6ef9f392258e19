/**
 * A validating webhook and an aggregated API of the cell, both addressed by a Service, called by kube-apiserver. That it
 * was through the tunnel is told by the address that they were asked from, and by what happens when the agent is gone.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ONLY_THING } from './aggregated-api.ts'
import type { Cluster } from './cluster.ts'
import { countedDials, type Egress } from './egress.ts'
import type { Kubectl, Outcome } from './kubectl.ts'
import { CELL_ADDRESS, HUB_ADDRESS } from './network.ts'
import { REFUSAL, REVIEWED_LABEL } from './webhook.ts'

/** kube-apiserver learns of a webhook's configuration by a watch: soon, but not at once. */
const IN_FORCE_WITHIN_MS = 30_000
/** The webhook's own timeout, and some for kubectl. */
const REFUSED_WITHIN_MS = 20_000
const OPENED_BY_SERVER = /^konnectivity_network_proxy_server_dial_duration_seconds_count (\d+)$/m

type Verdict = 'admit' | 'refuse'

export async function proveServices(t: Test, { kubectl, folder, server }: Cluster, egress: Egress): Promise<void> {
  await t.test('a validating webhook addressed by Service refuses and admits by content', async (t) => {
    const before = await dials()
    const refused = await refusedBefore(IN_FORCE_WITHIN_MS)
    t.not(refused.code, 0)
    const [, askedFrom] = new RegExp(`${REFUSAL} (\\S+)`).exec(refused.stderr) ?? []
    t.match(refused.stderr, /admission webhook "gate\.culvert\.test" denied the request/)
    t.ok(isInsideTheCell(askedFrom), `asked from ${askedFrom}`)
    const admitted = await create(kubectl, folder, 'admitted', 'admit')
    t.equal(admitted.code, 0, admitted.stderr)
    t.equal(await kubectl.text('get', 'configmap', 'admitted', '-o', 'jsonpath={.data.verdict}'), 'admit')
    const missing = await kubectl(['get', 'configmap', 'refused'])
    t.match(missing.stderr, /not found/, 'what was refused is not there')
    const after = await dials()
    t.ok(after.apiServer > before.apiServer, `kube-apiserver wanted ${after.apiServer - before.apiServer} connections`)
    t.ok(after.server > before.server, `and proxy-server opened ${after.server - before.server}`)
  })

  await t.test('an aggregated API addressed by Service is listed and read by kubectl get', async (t) => {
    const where = '-o=jsonpath={.items[*].spec.askedFrom}'
    t.equal(await kubectl.text('get', 'things', '-o', 'name'), `thing.things.culvert.test/${ONLY_THING}\n`)
    const askedFrom = await kubectl.text('get', 'things', where)
    t.ok(isInsideTheCell(askedFrom), `asked from ${askedFrom}`)
    t.equal(await kubectl.text('get', 'thing', ONLY_THING, '-o', 'jsonpath={.metadata.name}'), ONLY_THING)
    t.match((await kubectl(['get', 'thing', 'none'])).stderr, /not ?found/i)
  })

  /** Connections through the tunnel, as each of its ends has counted them. */
  async function dials(): Promise<{ readonly apiServer: number; readonly server: number }> {
    const { started } = countedDials(await kubectl.text('get', '--raw', '/metrics'), egress)
    const [, opened] = OPENED_BY_SERVER.exec(await server.metrics()) ?? []
    return { apiServer: started, server: Number(opened) }
  }

  /** Asks until it is refused: until the webhook is in force, kube-apiserver admits. The object is never stored. */
  async function refusedBefore(deadlineMs: number): Promise<Outcome> {
    const end = performance.now() + deadlineMs
    for (;;) {
      const outcome = await create(kubectl, folder, 'refused', 'refuse', '--dry-run=server')
      if (outcome.code !== 0 || performance.now() > end) return outcome
    }
  }
}

/** The last cases of a cluster: its agent does not come back. */
export async function proveServicesNeedTheTunnel(t: Test, { kubectl, folder, agents }: Cluster): Promise<void> {
  for (const agent of agents) {
    agent.signal('SIGKILL')
    await agent.ended
  }

  await t.test('a webhook that is required refuses what it cannot review, and nothing else', async (t) => {
    const refused = await create(kubectl, folder, 'unreviewed', 'admit')
    t.not(refused.code, 0)
    t.match(refused.stderr, /failed calling webhook "gate\.culvert\.test"/)
    t.equal((await kubectl(['create', 'configmap', 'not-for-review'])).code, 0)
  })

  await t.test('an aggregated API is not there', async (t) => {
    const outcome = await kubectl(['get', 'things'], { deadlineMs: REFUSED_WITHIN_MS })
    t.not(outcome.code, 0, outcome.stdout.toString())
  })
}

async function create(
  kubectl: Kubectl,
  folder: string,
  name: string,
  verdict: Verdict,
  ...flags: string[]
): Promise<Outcome> {
  const file = join(folder, `${name}.json`)
  const metadata = { name, labels: { [REVIEWED_LABEL]: 'true' } }
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { verdict } }))
  return kubectl(['create', '-f', file, ...flags], { deadlineMs: REFUSED_WITHIN_MS })
}

/** The agent's address inside the cell: a connection from the hub would have come over the wire between the two. */
function isInsideTheCell(address = ''): boolean {
  return address.startsWith('10.88.') && ![HUB_ADDRESS, CELL_ADDRESS].includes(address)
}
