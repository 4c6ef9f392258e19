/**
 * A real Prometheus scrapes pods and nodes of the cell by the configuration of docs/prometheus.md, and a client that behaves
 * like it makes a given number of scrapes at a given rate beside it.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CONTAINER_SERIES } from './cell.ts'
import { type Cluster, makerUnderTest, startCluster } from './cluster.ts'
import { countedDials, type Egress } from './egress.ts'
import { API_PORT } from './kubectl.ts'
import { MONITORED_NODES, MONITORED_PODS, monitoredObjects, nameOf, proxyPathOf } from './monitored.ts'
import { HUB_ADDRESS } from './network.ts'
import { POD } from './objects.ts'
import { documented, type Sample, startPrometheus } from './prometheus.ts'
import { scrape, type Target } from './scraper.ts'

const SCRAPES = 5_000
const PER_SECOND = 150
const LEAST_SUCCESS = 0.999
const FOUND_WITHIN_MS = 60_000
/** What Prometheus itself has made by the end; each of its targets is scraped every 5 s. */
const OWN_SCRAPES = 400
const OWN_SCRAPES_WITHIN_MS = 120_000
const ASK_EVERY_MS = 250

for (const egress of ['http-connect-tcp', 'grpc-uds'] as const satisfies Egress[]) {
  await t.test(`through ${egress}`, async (t) => {
    const plan = { server: makerUnderTest, agent: makerUnderTest, agents: 1, kubeApiServer: 'v1.36.3' } as const
    const cluster = await startCluster({ ...plan, egress, certificates: 'culvert' })
    t.teardown(cluster.remove)
    await proveScraping(t, cluster, egress)
  })
}

async function proveScraping(t: Test, cluster: Cluster, egress: Egress): Promise<void> {
  const { network, kubectl, folder, pki } = cluster
  const addresses = await addressesOfPods(cluster)
  const credentials = { caFile: pki.kubernetes.ca.cert, tokenFile: await tokenAsDocumented(cluster) }
  const prometheus = await startPrometheus(network, credentials, folder)

  await t.test('Prometheus finds 50 pods and all nodes, and scrapes every one of them', async (t) => {
    const up = async (job: string): Promise<number> => sumOf(await prometheus.query(`sum(up{job="${job}"})`))
    await until(async () => (await up('pods')) === MONITORED_PODS, FOUND_WITHIN_MS)
    await until(async () => (await up('kubelets')) === MONITORED_NODES.length, FOUND_WITHIN_MS)
    await until(async () => (await up('containers')) === MONITORED_NODES.length, FOUND_WITHIN_MS)
    const [all] = await prometheus.query('count(up)')
    t.equal(all?.value, MONITORED_PODS + 2 * MONITORED_NODES.length, 'and nothing else')
  })

  await t.test('what is stored under the name of a pod or node is what that one said', async (t) => {
    const pods = await prometheus.query('group by (namespace, pod, node, instance, address) (culvert_test_reached)')
    const found = new Map(pods.map(({ labels }) => [labels.pod, labels.address]))
    t.strictSame([...found].sort(), [...addresses].sort())
    t.equal(pods.length, MONITORED_PODS, 'one address each')
    t.ok(pods.every(({ labels }) => labels.instance?.startsWith(`default/${labels.pod}:`)))
    t.strictSame(valuesOf(pods, 'node'), [...MONITORED_NODES].sort())
    t.strictSame(valuesOf(await prometheus.query('go_goroutines{job="kubelets"}'), 'node'), [...MONITORED_NODES].sort())
    const containers = await prometheus.query(`${CONTAINER_SERIES}{job="containers"}`)
    t.ok(valuesOf(containers, 'pod').includes(POD), 'what containers use, by the name of their pod')
  })

  await t.test(`of ${SCRAPES} scrapes at ${PER_SECOND} a second, 99.9 % succeed`, async (t) => {
    const before = countedDials(await kubectl.text('get', '--raw', '/metrics'), egress)
    const report = await scrape(network.hub, join(folder, 'scrapes.json'), {
      ...credentials,
      origin: `https://${HUB_ADDRESS}:${API_PORT}`,
      targets: targetsOf(addresses),
      scrapes: SCRAPES,
      perSecond: PER_SECOND,
    })
    const after = countedDials(await kubectl.text('get', '--raw', '/metrics'), egress)
    t.comment(`${JSON.stringify(report)}, ${after.started - before.started} connections through the tunnel`)
    t.ok(report.succeeded >= LEAST_SUCCESS * SCRAPES, `${report.succeeded} of ${SCRAPES} succeeded`)
    t.ok(report.tookMs < (SCRAPES / PER_SECOND) * 1_000 * 1.1, `in ${report.tookMs} ms: the rate was kept`)
    t.equal(after.failed, 0, 'no dial failed')
  })

  await t.test('of the scrapes that Prometheus made by itself, 99.9 % succeeded', async (t) => {
    const made = async (): Promise<number> => sumOf(await prometheus.query('sum(count_over_time(up[1h]))'))
    await until(async () => (await made()) >= OWN_SCRAPES, OWN_SCRAPES_WITHIN_MS)
    const [share] = await prometheus.query('sum(sum_over_time(up[1h])) / sum(count_over_time(up[1h]))')
    t.ok(Number(share?.value) >= LEAST_SUCCESS, `${share?.value} of ${await made()}`)
  })
}

/** Makes what is to be scraped; the address of each pod by its name. */
async function addressesOfPods({ kubectl, folder }: Cluster): Promise<ReadonlyMap<string, string>> {
  const file = join(folder, 'monitored.json')
  await writeFile(file, monitoredObjects())
  await kubectl.text('create', '-f', file)
  await kubectl.text('wait', '--for=condition=Ready', 'pods', '--all', '--timeout=60s')
  const lines = await kubectl.text(
    'get',
    'pods',
    '-o',
    'jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}',
  )
  const all = lines
    .trim()
    .split('\n')
    .map((line) => line.split(' ') as [string, string])
  return new Map(all.filter(([name]) => name.startsWith('monitored-')))
}

/** The file with a token of the account that the document makes. */
async function tokenAsDocumented({ kubectl, folder }: Cluster): Promise<string> {
  const rbac = join(folder, 'rbac.yaml')
  await writeFile(rbac, await documented('kind: ClusterRole\n'))
  await kubectl.text('apply', '-f', rbac)
  const token = join(folder, 'prometheus.token')
  await writeFile(token, await kubectl.text('create', 'token', 'prometheus', '--namespace', 'monitoring'), {
    mode: 0o600,
  })
  return token
}

function targetsOf(addresses: ReadonlyMap<string, string>): Target[] {
  const pods = Array.from({ length: MONITORED_PODS }, (_, index): Target => {
    const expects = `culvert_test_reached{address="${addresses.get(nameOf(index))}",index="99"} 1`
    return { job: 'pods', path: proxyPathOf(index), expects }
  })
  const kubelet = (job: string, path: string, expects: string): Target[] =>
    MONITORED_NODES.map((node) => ({ job, path: `/api/v1/nodes/${node}/proxy${path}`, expects }))
  return [
    ...pods,
    ...kubelet('kubelets', '/metrics', 'go_goroutines '),
    ...kubelet('containers', '/metrics/cadvisor', CONTAINER_SERIES),
  ]
}

function sumOf(samples: readonly Sample[]): number {
  return samples.reduce((sum, { value }) => sum + value, 0)
}

function valuesOf(samples: readonly Sample[], label: string): string[] {
  return [...new Set(samples.flatMap(({ labels }) => labels[label] ?? []))].sort()
}

/** Asks until it is so. @throws Error when it is not within `deadlineMs` */
async function until(isSo: () => Promise<boolean>, deadlineMs: number): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`it is not so after ${deadlineMs} ms: ${isSo}`)
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
  }
}
