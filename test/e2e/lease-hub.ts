/**
 * A hub with a real kube-apiserver, several proxy-servers behind one address, and agents in the cell: for leases and tokens.
 * What servers and agents may do in the API server is what config/rbac-*.yaml grants. No kubelet runs: nothing goes through
 * the tunnels here.
 */
import { mkdtempSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { program } from '../programs/programs.ts'
import { cleanUpInTheEnd } from './clean-up.ts'
import { startApiServer, startEtcd } from './control-plane.ts'
import { API_PORT, type Kubectl, makeKubectl } from './kubectl.ts'
import { folderOf, HUB_ADDRESS, makeNetwork, type Network } from './network.ts'
import { makePki, type Pki } from './pki.ts'
import { type Running, start, withHosts } from './process.ts'
import { ready } from './ready.ts'
import { AGENT_PORT, type Maker } from './tunnel.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const READY_MS = 20_000
/** Of one server each: agents, health, admin. */
const SERVER_PORTS = 20_000
export const agentPortOf = (server: number): number => SERVER_PORTS + 10 * server
const AGENT_PORTS = 30_000
/**
 * `sh -c … <token> <CA> <command…>`: puts the two where the kubelet would mount them, and becomes the command. Whoever enters a
 * network namespace by `ip netns exec` has mounts of its own, which end with it.
 */
const MOUNT_AND_RUN = `set -e
mount -t tmpfs none /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
cp "$0" /run/secrets/kubernetes.io/serviceaccount/token
cp "$1" /run/secrets/kubernetes.io/serviceaccount/ca.crt
shift
exec "$@"`
export const NAMESPACE = 'kube-system'
export const SERVICE_ACCOUNT = 'konnectivity-agent'
export const AUDIENCE = 'system:konnectivity-server'

export type Probed = Running & { readonly metrics: () => Promise<string> }
export type Place = {
  /** The server that the agent connects to; none: the balancer's choice. */
  readonly server?: number
  /** It runs as a pod does: with the address of the API server, and a token and a CA that are mounted. */
  readonly pod?: boolean
  /** A file in the place of /etc/hosts. */
  readonly hosts?: string
}
export type LeaseHub = {
  readonly network: Network
  readonly folder: string
  readonly pki: Pki
  readonly kubectl: Kubectl
  readonly apiServer: Running
  /** Kubeconfigs with the rights of config/rbac-*.yaml. */
  readonly configs: { readonly server: string; readonly agent: string }
  /** Returns when it takes agents. Its id is `server-<index>`. */
  startServer(maker: Maker, index: number, flags: readonly string[]): Promise<Probed>
  /** Does not wait for anything. */
  startAgent(maker: Maker, name: string, flags: readonly string[], place?: Place): Promise<Probed>
  /** What the admin port of one of our servers answers. */
  admin(server: number, path: string): Promise<string>
  /** The names of the leases of servers. */
  leases(): Promise<string[]>
  /** A token that kube-apiserver issues. */
  token(account: string, audience: string, namespace?: string): Promise<string>
}

/** @param servers the most that a test of this hub starts at a time */
export async function startLeaseHub(t: Test, servers: number): Promise<LeaseHub> {
  t.teardown(cleanUpInTheEnd())

  const folder = mkdtempSync(folderOf(process.pid))
  const network = makeNetwork()
  const pki = await makePki(folder, 'openssl')
  const kubectl = await makeKubectl(network.hub, pki, folder)
  const backends = Array.from({ length: servers }, (_, index) => String(agentPortOf(index)))
  start({
    name: 'balancer',
    namespace: network.hub,
    folder,
    command: [process.execPath, join(import.meta.dirname, 'balancer.ts'), String(AGENT_PORT), ...backends],
  })
  await startEtcd(network, folder)
  const apiServer = await startApiServer('v1.36.3', 'http-connect-tcp', network, pki, folder)
  for (const file of ['rbac-proxy-server.yaml', 'rbac-proxy-agent.yaml']) {
    await kubectl.text('apply', '-f', join(CHECKOUT, 'config', file))
  }

  const token: LeaseHub['token'] = async (account, audience, namespace = NAMESPACE) => {
    const asked = audience === '' ? [] : [`--audience=${audience}`]
    return (await kubectl.text('create', 'token', account, '-n', namespace, ...asked)).trim()
  }
  const agentToken = join(folder, 'agent.token')
  await writeFile(agentToken, await token(SERVICE_ACCOUNT, ''), { mode: 0o600 })
  const asPod = ['sh', '-c', MOUNT_AND_RUN, agentToken, pki.kubernetes.ca.cert]
  const { proxyServer } = pki.kubernetes
  const configs = {
    server: await writeConfig(folder, 'server', pki, {
      'client-certificate': proxyServer.cert,
      'client-key': proxyServer.key,
    }),
    agent: await writeConfig(folder, 'agent', pki, { tokenFile: agentToken }),
  }
  const probed = (running: Running, namespace: string, port: number): Probed => ({
    ...running,
    metrics: () => ready(namespace, `http://127.0.0.1:${port}/metrics`, READY_MS),
  })
  let agents = 0

  return {
    network,
    folder,
    pki,
    kubectl,
    apiServer,
    configs,
    async startServer(maker, index, flags) {
      const [agentPort, healthPort, adminPort] = [0, 1, 2].map((offset) => agentPortOf(index) + offset)
      const command = [
        maker === 'ours' ? join(CHECKOUT, 'bin/proxy-server') : await program('konnectivity-server'),
        '--mode=http-connect',
        '--uds-name',
        join(folder, `frontend-${index}.sock`),
        '--server-port=0',
        ...['--cluster-cert', pki.tunnel.server.cert, '--cluster-key', pki.tunnel.server.key],
        `--agent-port=${agentPort}`,
        `--health-port=${healthPort}`,
        `--admin-port=${adminPort}`,
        `--server-id=server-${index}`,
        ...flags,
      ]
      const server = start({ name: `proxy-server-${index}`, namespace: network.hub, folder, command })
      await server.until(ready(network.hub, `http://127.0.0.1:${healthPort}/healthz`, READY_MS))
      return probed(server, network.hub, healthPort ?? 0)
    },
    async startAgent(maker, name, flags, { server, pod = false, hosts } = {}) {
      const healthPort = AGENT_PORTS + 2 * agents++
      const command = [
        ...(hosts === undefined ? [] : withHosts(hosts)),
        ...(pod ? asPod : []),
        maker === 'ours' ? join(CHECKOUT, 'bin/proxy-agent') : await program('konnectivity-agent'),
        `--proxy-server-host=${HUB_ADDRESS}`,
        `--proxy-server-port=${server === undefined ? AGENT_PORT : agentPortOf(server)}`,
        ...['--ca-cert', pki.tunnel.ca.cert],
        `--health-server-port=${healthPort}`,
        `--admin-server-port=${healthPort + 1}`,
        `--agent-id=${name}`,
        ...flags,
      ]
      const env = { KUBERNETES_SERVICE_HOST: HUB_ADDRESS, KUBERNETES_SERVICE_PORT: String(API_PORT) }
      const launch = { name, namespace: network.cell, folder, command, ...(pod && { env }) }
      return probed(start(launch), network.cell, healthPort)
    },
    admin: (server, path) => ready(network.hub, `http://127.0.0.1:${agentPortOf(server) + 2}${path}`, READY_MS),
    async leases() {
      const names = await kubectl.text(
        'get',
        'leases',
        '-n',
        NAMESPACE,
        '-l',
        'k8s-app=konnectivity-server',
        '-o',
        'name',
      )
      return names
        .split('\n')
        .filter(Boolean)
        .map((name) => name.replace('lease.coordination.k8s.io/', ''))
    },
    token,
  }
}

async function writeConfig(folder: string, name: string, { kubernetes }: Pki, user: object): Promise<string> {
  const file = join(folder, `${name}.kubeconfig`)
  const cluster = { server: `https://${HUB_ADDRESS}:${API_PORT}`, 'certificate-authority': kubernetes.ca.cert }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name: 'hub', cluster }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: 'hub', user: name } }],
  }
  await writeFile(file, JSON.stringify(config), { mode: 0o600 })
  return file
}
