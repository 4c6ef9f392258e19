/** etcd and kube-apiserver in the hub. kube-apiserver is started with one of the samples of config/, its places filled in. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../programs/programs.ts'
import { type Egress, egressConfiguration, type Way } from './egress.ts'
import { API_PORT } from './kubectl.ts'
import { HUB_ADDRESS, type Network } from './network.ts'
import type { Pki } from './pki.ts'
import { type Running, start, withHosts } from './process.ts'
import { ready } from './ready.ts'

const READY_MS = 60_000
const ETCD = 'http://127.0.0.1:2379'

/** The newest kube-apiserver, and the oldest that we promise to work with: releases, and the programs that they are. */
export const kubeApiServers = {
  'v1.36.3': 'kube-apiserver',
  'v1.33.6': 'kube-apiserver-1.33',
} as const
export type KubeApiServerVersion = keyof typeof kubeApiServers

export async function startEtcd({ hub }: Network, folder: string): Promise<Running> {
  const command = [await program('etcd'), '--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync']
  command.push(
    '--listen-client-urls',
    ETCD,
    '--advertise-client-urls',
    ETCD,
    '--listen-peer-urls',
    'http://127.0.0.1:0',
  )
  const etcd = start({ name: 'etcd', namespace: hub, folder, command })
  await etcd.until(ready(hub, `${ETCD}/health`, READY_MS))
  return etcd
}

/** What one of several kube-apiservers beside one etcd needs of its own. */
export type Place = {
  readonly port: number
  readonly etcdPrefix?: string
  readonly way?: Way
  /** A file in the place of /etc/hosts. */
  readonly hosts?: string
}

export async function startApiServer(
  version: KubeApiServerVersion,
  egress: Egress,
  { hub }: Network,
  pki: Pki,
  folder: string,
  { port, etcdPrefix = '/registry', way, hosts }: Place = { port: API_PORT },
): Promise<Running> {
  const { kubernetes } = pki
  const egressFile = join(folder, 'egress-selector.yaml')
  await writeFile(egressFile, await egressConfiguration(egress, pki, folder, way))
  const flags: Record<string, string> = {
    'egress-selector-config-file': egressFile,
    'etcd-servers': ETCD,
    'etcd-prefix': etcdPrefix,
    'secure-port': String(port),
    'advertise-address': HUB_ADDRESS,
    'tls-cert-file': kubernetes.server.cert,
    'tls-private-key-file': kubernetes.server.key,
    'client-ca-file': kubernetes.ca.cert,
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': kubernetes.serviceAccount.cert,
    'service-account-signing-key-file': kubernetes.serviceAccount.key,
    'kubelet-client-certificate': kubernetes.kubeletClient.cert,
    'kubelet-client-key': kubernetes.kubeletClient.key,
    'kubelet-certificate-authority': kubernetes.ca.cert,
    'kubelet-preferred-address-types': 'InternalIP',
    'authorization-mode': 'Node,RBAC',
    'service-cluster-ip-range': '10.96.0.0/16',
    'disable-admission-plugins': 'ServiceAccount', // no controller runs that would make the accounts
    'enable-aggregator-routing': 'true', // straight to the endpoints: no kube-proxy runs in the cell
  }
  const command = [
    ...(hosts === undefined ? [] : withHosts(hosts)),
    await program(kubeApiServers[version]),
    ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
  ]
  const apiServer = start({ name: 'kube-apiserver', namespace: hub, folder, command })
  await apiServer.until(ready(hub, `https://${HUB_ADDRESS}:${port}/readyz`, READY_MS))
  return apiServer
}
