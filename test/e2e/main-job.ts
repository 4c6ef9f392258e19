/**
 * The main job: everything that kubectl and kube-apiserver do inside a cluster that accepts no inbound connection. The
 * same for each kube-apiserver and each way from it to proxy-server; one test file per way calls it.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { EVENTS } from './aggregated-api.ts'
import { KUBELET_PORT } from './cell.ts'
import { type Cluster, makerUnderTest, startCluster } from './cluster.ts'
import type { KubeApiServerVersion } from './control-plane.ts'
import { dial } from './dial.ts'
import { countedDials, type Egress } from './egress.ts'
import { proveKubectl } from './kubectl-cases.ts'
import { linesOf } from './lines.ts'
import { CELL_ADDRESS, NODE_ADDRESS } from './network.ts'
import type { Issuer } from './pki.ts'
import { proveServices, proveServicesNeedTheTunnel } from './service-cases.ts'

export type Combination = {
  readonly kubeApiServer: KubeApiServerVersion
  readonly egress: Egress
  readonly certificates: Issuer
  /** What `--lanes` of our agent says: the path is too short to have any by itself. */
  readonly lanes: 0 | 4
  /** How long a watch goes on, most of it silent; the other cases run beside it. */
  readonly watchS: number
}

/** What a watch may come late on a busy machine. */
const LATE_MS = 30_000
/** Cases at once: most of them wait for a program to start. */
const AT_ONCE = 3
const PACKETS = 'konnectivity_network_proxy_server_stream_packets_total'

export async function proveMainJob(t: Test, combination: Combination): Promise<void> {
  const { kubeApiServer, egress, certificates, watchS } = combination
  const lanes = makerUnderTest === 'ours' ? combination.lanes : 0
  const agentFlags = makerUnderTest === 'ours' ? [`--lanes=${lanes}`] : []
  const plan = { server: makerUnderTest, agent: makerUnderTest, agents: 1, agentFlags, kubeApiServer, egress }
  const cluster = await startCluster({ ...plan, certificates })
  t.teardown(cluster.remove)
  const { network, kubectl, folder } = cluster
  await Promise.all([mkdir(join(folder, 'client')), mkdir(join(folder, 'pod'))])
  const watched = watchThings(cluster, watchS)
  watched.catch(() => undefined) // told by the test that awaits it

  await t.test('nothing can connect into the cell, though it listens', async (t) => {
    t.equal(await dial(network.cell, CELL_ADDRESS, KUBELET_PORT), 'connected', 'from the cell itself')
    t.equal(await dial(network.hub, CELL_ADDRESS, KUBELET_PORT), 'timeout', 'from the hub, to the address on the wire')
    t.equal(await dial(network.hub, NODE_ADDRESS, KUBELET_PORT), 'ENETUNREACH', 'from the hub, to the node')
  })

  await t.test('kube-apiserver is the release that the test is about', async (t) => {
    t.equal(JSON.parse(await kubectl.text('get', '--raw', '/version')).gitVersion, kubeApiServer)
  })

  await t.test('kubectl', { jobs: AT_ONCE }, async (t) => proveKubectl(t, cluster))
  await t.test('webhooks and aggregated APIs', async (t) => proveServices(t, cluster, egress))

  await t.test(`kubectl get --watch-only of an aggregated API lasts ${watchS} s, most of them silent`, async (t) => {
    const { names, lastedMs } = await watched
    t.strictSame(
      names,
      Array.from({ length: EVENTS }, (_, index) => `thing-${index}`),
    )
    t.ok(lastedMs >= watchS * 1_000 - 1_000, `lasted ${Math.round(lastedMs)} ms`)
  })

  await t.test('kube-apiserver went through the tunnel for all of it, and no dial failed', async (t) => {
    const { started, failed } = countedDials(await kubectl.text('get', '--raw', '/metrics'), egress)
    t.ok(started > 0, `${started} dials by ${egress}`)
    t.equal(failed, 0)
  })

  await t.test(
    lanes === 0 ? 'nothing went over a lane' : `what was bulk went over ${lanes} lanes, both ways`,
    async (t) => {
      const metrics = await cluster.server.metrics()
      t.equal(seriesOf(metrics, 'culvert_server_open_lanes'), lanes)
      for (const segment of ['to_agent', 'from_agent']) {
        const moves = `${PACKETS}{segment="${segment}",packet_type="MOVE"}`
        t.equal(seriesOf(metrics, moves) > 0, lanes > 0, `${segment}: ${seriesOf(metrics, moves)} moves`)
      }
    },
  )

  await t.test('without the tunnel', async (t) => proveServicesNeedTheTunnel(t, cluster))
}

/** 0 while it has not happened. */
function seriesOf(metrics: string, series: string): number {
  const line = metrics.split('\n').find((it) => it.startsWith(`${series} `))
  return Number(line?.split(' ').at(-1) ?? 0)
}

type Watched = { readonly names: readonly string[]; readonly lastedMs: number }

/** Reads as many events as there are to come, whenever they come. */
async function watchThings({ kubectl }: Cluster, watchS: number): Promise<Watched> {
  const watch = ['get', 'things', '--watch-only', '-l', `lasts-s=${watchS}`]
  const follower = kubectl.follow(...watch, '-o', 'jsonpath={.metadata.name}{"\\n"}')
  const next = linesOf(follower)
  const names: string[] = []
  const started = performance.now()
  while (names.length < EVENTS) names.push(await next(watchS * 1_000 + LATE_MS))
  follower.kill('SIGKILL')
  return { names, lastedMs: performance.now() - started }
}
