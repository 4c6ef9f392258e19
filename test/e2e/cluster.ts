/** A hub and a cell with all that runs in them, up and proven ready; removed when the process ends, however it ends. */
import { mkdtempSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GROUP } from './aggregated-api.ts'
import { type PodFiles, startKubelet, startTargets } from './cell.ts'
import { cleanUpInTheEnd } from './clean-up.ts'
import { type KubeApiServerVersion, startApiServer, startEtcd } from './control-plane.ts'
import type { Egress } from './egress.ts'
import { type Kubectl, makeKubectl } from './kubectl.ts'
import { folderOf, makeNetwork, type Network } from './network.ts'
import { endpoints, objects, POD } from './objects.ts'
import { type Issuer, makePki, type Pki } from './pki.ts'
import type { Running } from './process.ts'
import { type Maker, type Server, startAgent, startServer } from './tunnel.ts'

export type Plan = {
  readonly server: Maker
  readonly agent: Maker
  readonly kubeApiServer: KubeApiServerVersion
  readonly egress: Egress
  readonly agents: number
  readonly agentFlags?: readonly string[]
  readonly certificates: Issuer
}

export type Cluster = {
  readonly network: Network
  readonly pki: Pki
  /** The run's own folder: the files of the pods and of the tests. */
  readonly folder: string
  readonly podFiles: PodFiles
  readonly kubectl: Kubectl
  readonly server: Server
  readonly agents: readonly Running[]
  /** Starts one more agent under the id of the one that had this index; returns once it is connected. */
  startAgent(index: number): Promise<Running>
  remove(): void
}

/** Whose programs the tests are about; `stock` proves the harness itself. */
export const makerUnderTest: Maker = process.env.CULVERT_E2E_TUNNEL === 'stock' ? 'stock' : 'ours'

/** One cluster per process at a time: its namespaces carry the process id. */
export async function startCluster(plan: Plan): Promise<Cluster> {
  const remove = cleanUpInTheEnd()

  const folder = mkdtempSync(folderOf(process.pid))
  const network = makeNetwork()
  const pki = await makePki(folder, plan.certificates)
  const agent = (index: number) => startAgent(plan.agent, index, network, pki, folder, plan.agentFlags)
  const podFiles = { log: join(folder, 'pod.log'), console: join(folder, 'pod.console') }

  const [server, kubectl] = await Promise.all([
    startServer(plan.server, plan.egress, network, pki, folder),
    makeKubectl(network.hub, pki, folder),
    startTargets(network, pki, folder),
    startEtcd(network, folder).then(() => startApiServer(plan.kubeApiServer, plan.egress, network, pki, folder)),
  ])
  const [agents] = await Promise.all([
    Promise.all(Array.from({ length: plan.agents }, (_, index) => agent(index))),
    startKubelet(network, pki, folder, podFiles),
  ])
  await server.until(server.hasAgent())
  await server.until(writeObjects(kubectl, pki, folder))
  return { network, pki, folder, podFiles, kubectl, server, agents, startAgent: agent, remove }
}

/** Ends when kube-apiserver has reached the aggregated API, which it does through the tunnel. */
async function writeObjects(kubectl: Kubectl, pki: Pki, folder: string): Promise<void> {
  const apply = async (name: string, list: string): Promise<void> => {
    const file = join(folder, `${name}.json`)
    await writeFile(file, list)
    await kubectl.text('apply', '--server-side', '-f', file)
  }
  await apply('objects', await objects(pki.kubernetes.ca))
  await kubectl.text('wait', '--for=condition=Ready', `pod/${POD}`, '--timeout=30s')
  await apply('endpoints', endpoints(await kubectl.text('get', 'pod', POD, '-o', 'jsonpath={.status.podIP}')))
  await kubectl.text('wait', '--for=condition=Available', `apiservice/v1.${GROUP}`, '--timeout=30s')
}
