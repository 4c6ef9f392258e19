/** A cell with a real kube-apiserver in the hub, a kubelet, and a pod at the address that the pods of all such cells have. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { criLine, type PodFiles, startKubelet } from './cell.ts'
import type { Cell, Cells, Identities } from './cells.ts'
import { startApiServer, startEtcd } from './control-plane.ts'
import type { Way } from './egress.ts'
import { API_PORT, type Kubectl, makeKubectl } from './kubectl.ts'
import { HUB_ADDRESS } from './network.ts'
import { list, NODE, POD, pod } from './objects.ts'
import { makeKubernetesPki, type Pki } from './pki.ts'
import type { Running } from './process.ts'
import { DOOR_PORT } from './router.ts'

/** A kube-apiserver and who talks to it. */
export type Api = { readonly apiServer: Running; readonly kubectl: Kubectl }
export type Kubernetes = Api & {
  readonly podFiles: PodFiles
  readonly podAddress: string
  /** Starts another kube-apiserver of the same cluster, on another port. */
  another(port: number, identities: Identities): Promise<Api>
}

/** How an API server says which name it wants: by the host of its URL, or by a field of its own. */
const ways = {
  host: ({ serverName }: Cell): Way => ({ url: `https://${serverName}:${DOOR_PORT}` }),
  tlsServerName: ({ serverName }: Cell): Way => ({
    url: `https://${HUB_ADDRESS}:${DOOR_PORT}`,
    tlsServerName: serverName,
  }),
} as const

/** The first and the second of a hub's: the newest kube-apiserver, and the oldest that we promise to work with. */
const plans = [
  { version: 'v1.36.3', by: 'tlsServerName', port: API_PORT },
  { version: 'v1.33.6', by: 'host', port: API_PORT + 1 },
] as const
type Plan = (typeof plans)[number]

export type Two<M> = readonly [readonly [M, Kubernetes], readonly [M, Kubernetes]]

/** Starts two clusters beside one etcd; returns when their pods are ready. */
export async function startTwo<M extends Cell & Identities>(
  cells: Cells,
  [first, second]: readonly [M, M],
): Promise<Two<M>> {
  await startEtcd(first.network, cells.folder)
  const [one, two] = await Promise.all([
    startKubernetes(cells, first, plans[0]),
    startKubernetes(cells, second, plans[1]),
  ])
  return [
    [first, one],
    [second, two],
  ]
}

async function startKubernetes(
  { hub, hosts }: Cells,
  cell: Cell & Identities,
  { version, by, port }: Plan,
): Promise<Kubernetes> {
  const { id, network, folder } = cell
  const kubernetes = await makeKubernetesPki(folder)
  const podFiles = { log: join(folder, 'pod.log'), console: join(folder, 'pod.console') }
  const start = async (apiPort: number, { ca, apiserver, agent }: Identities): Promise<Api> => {
    const authority = { cert: ca, key: ca }
    const pki: Pki = { kubernetes, tunnel: { ca: authority, server: authority, agent, apiserver } }
    const place = { port: apiPort, etcdPrefix: `/${id}`, way: ways[by](cell), hosts }
    const apiServer = await startApiServer(version, 'http-connect-tcp', network, pki, folder, place)
    return { apiServer, kubectl: await makeKubectl(hub, pki, folder, apiPort) }
  }
  const { apiServer, kubectl } = await start(port, cell)
  await startKubelet(network, { kubernetes }, folder, podFiles, port)
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE } }
  const file = join(folder, 'objects.json')
  await writeFile(file, list([node, pod(POD, { nodeName: NODE })]))
  await kubectl.text('apply', '--server-side', '-f', file)
  await kubectl.text('wait', '--for=condition=Ready', `pod/${POD}`, '--timeout=30s')
  const podAddress = await kubectl.text('get', 'pod', POD, '-o', 'jsonpath={.status.podIP}')
  await writeFile(podFiles.log, criLine(`log of ${id}`))
  return { apiServer, kubectl, podFiles, podAddress, another: start }
}

/** A command of a pod, and a request to it, that say where it is: `Cell.place`. */
export const PLACE_COMMAND = ['readlink', '/proc/self/ns/net']
export const PLACE_PATH = `/api/v1/namespaces/default/pods/${POD}:9100/proxy/place`

/** The clusters' pods have one address; `exec`, `logs` and requests to them come to the right one, from each of the two API servers. */
export async function proveOwnPods<M extends Cell & Identities>(
  t: Test,
  cells: Cells,
  members: readonly [M, M],
): Promise<void> {
  const both = await startTwo(cells, members)
  await t.test('two API servers have pods at the same address, and each reaches its own', async (t) => {
    t.equal(both[0][1].podAddress, both[1][1].podAddress)
    for (const [{ id, place }, { kubectl }] of both) {
      t.equal((await kubectl.text('exec', POD, '--', ...PLACE_COMMAND)).trim(), place, `exec in ${id}`)
      t.equal(await kubectl.text('logs', POD), `log of ${id}\n`)
      t.equal(await kubectl.text('get', '--raw', PLACE_PATH), place, `a request to the pod of ${id}`)
    }
  })
}
