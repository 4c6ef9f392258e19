/** etcd and kube-apiserver in the hub. kube-apiserver is started with config/egress-selector.yaml, its places filled in. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../programs/programs.ts'
import { API_PORT } from './kubectl.ts'
import { HUB_ADDRESS, type Network } from './network.ts'
import type { Pki } from './pki.ts'
import { type Running, start } from './process.ts'
import { ready } from './ready.ts'
import { FRONTEND_PORT, frontendSocket, type Transport } from './tunnel.ts'

const READY_MS = 60_000
const ETCD = 'http://127.0.0.1:2379'
const SAMPLE = join(import.meta.dirname, '../../config/egress-selector.yaml')

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

export async function startApiServer(
  { hub }: Network,
  { kubernetes, tunnel }: Pki,
  transport: Transport,
  folder: string,
): Promise<Running> {
  const egress = join(folder, 'egress-selector.yaml')
  await writeFile(egress, filledIn(await readFile(SAMPLE, 'utf8'), transport, tunnel, folder))
  const flags: Record<string, string> = {
    'egress-selector-config-file': egress,
    'etcd-servers': ETCD,
    'secure-port': String(API_PORT),
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
    await program('kube-apiserver'),
    ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
  ]
  const apiServer = start({ name: 'kube-apiserver', namespace: hub, folder, command })
  await apiServer.until(ready(hub, `https://${HUB_ADDRESS}:${API_PORT}/readyz`, READY_MS))
  return apiServer
}

/** The sample with this run's host and paths; for a Unix socket, with the block that its comment tells to uncomment. */
function filledIn(sample: string, transport: Transport, tunnel: Pki['tunnel'], folder: string): string {
  const filled = sample
    .replace('https://proxy-server.example.internal:8090', `https://${HUB_ADDRESS}:${FRONTEND_PORT}`)
    .replace('/etc/kubernetes/pki/culvert/ca.crt', tunnel.ca.cert)
    .replace('/etc/kubernetes/pki/culvert/apiserver.crt', tunnel.apiserver.cert)
    .replace('/etc/kubernetes/pki/culvert/apiserver.key', tunnel.apiserver.key)
    .replace('/run/culvert/proxy-server.sock', frontendSocket(folder))
  if (transport === 'tcp') return filled
  return filled.replace(/^ {8}tcp:\n(?: {10}.*\n)+/m, '').replace(/^ {8}# ( *uds(?:Name)?:)/gm, '        $1')
}
