/**
 * The cluster without an inbound port: kwok as its kubelet, and what runs in its pods. kwok serves exec, attach, logs and
 * port-forward for real: a pod's files are the run's folder, its commands run in the cell.
 */
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kwokFolder, program } from '../programs/programs.ts'
import { AGGREGATED_API_PORT } from './aggregated-api.ts'
import { API_PORT, kubeconfigFor } from './kubectl.ts'
import { type Network, NODE_ADDRESS, POD_RANGE } from './network.ts'
import { NODE } from './objects.ts'
import type { Pki } from './pki.ts'
import { type Running, start } from './process.ts'
import { ready } from './ready.ts'
import { ECHO_PORT, HTTP_PORT } from './target.ts'
import { WEBHOOK_HEALTH_PATH, WEBHOOK_PORT } from './webhook.ts'

export const KUBELET_PORT = 10_250
/** What the kubelet says at `/metrics/cadvisor`, for the containers of `NODE`. */
export const CONTAINER_SERIES = 'container_cpu_usage_seconds_total'
const READY_MS = 30_000

export type PodFiles = {
  /** What `kubectl logs` reads and what `kubectl attach` follows. */
  readonly log: string
  readonly console: string
}

/** One line of a container's log, as the container runtime interface writes it. */
export function criLine(text: string): string {
  return `${new Date().toISOString()} stdout F ${text}\n`
}

export async function startTargets({ cell }: Network, { kubernetes }: Pki, folder: string): Promise<void> {
  const node = (file: string, ...args: string[]) => [process.execPath, join(import.meta.dirname, file), ...args]
  const { aggregatedApi, webhook } = kubernetes
  const started = (name: string, ...args: string[]): Running =>
    start({ name, namespace: cell, folder, command: node(`${name}.ts`, ...args) })
  const api = started('aggregated-api', aggregatedApi.cert, aggregatedApi.key)
  const gate = started('webhook', webhook.cert, webhook.key)
  const target = started('target')
  await Promise.all([
    api.until(ready(cell, `https://127.0.0.1:${AGGREGATED_API_PORT}/apis/things.culvert.test/v1`, READY_MS)),
    gate.until(ready(cell, `https://127.0.0.1:${WEBHOOK_PORT}${WEBHOOK_HEALTH_PATH}`, READY_MS)),
    target.until(ready(cell, `http://127.0.0.1:${HTTP_PORT}/hello`, READY_MS)),
  ])
}

/** @param apiPort of the kube-apiserver whose kubelet it is */
export async function startKubelet(
  { cell }: Network,
  pki: Pick<Pki, 'kubernetes'>,
  folder: string,
  files: PodFiles,
  apiPort: number = API_PORT,
): Promise<Running> {
  const kubeconfig = join(folder, 'kwok.kubeconfig')
  const pods = join(folder, 'kwok.json')
  await Promise.all([
    writeFile(kubeconfig, kubeconfigFor(pki, apiPort), { mode: 0o600 }),
    writeFile(pods, podConfiguration(files)),
    writeFile(files.log, ''),
    writeFile(files.console, ''),
  ])
  const { cert, key } = pki.kubernetes.kubelet
  const command = [
    await program('kwok'),
    ...[
      '--kubeconfig',
      kubeconfig,
      '--manage-all-nodes',
      '--node-ip',
      NODE_ADDRESS,
      '--node-port',
      String(KUBELET_PORT),
    ],
    ...['--server-address', `0.0.0.0:${KUBELET_PORT}`, '--cidr', POD_RANGE],
    ...['--tls-cert-file', cert, '--tls-private-key-file', key],
    ...[...(await stages()), pods].flatMap((file) => ['-c', file]),
  ]
  const env = { HOME: folder, PATH: `${await commandsOfPods(folder)}:${process.env.PATH}` }
  const kwok = start({ name: 'kwok', namespace: cell, folder, command, env })
  await kwok.until(ready(cell, `https://${NODE_ADDRESS}:${KUBELET_PORT}/healthz`, READY_MS))
  return kwok
}

/** A folder that comes first in the path of a pod's commands, with the `tar` that ends. */
async function commandsOfPods(folder: string): Promise<string> {
  const commands = join(folder, 'bin')
  const tar = execFileSync('sh', ['-c', 'command -v tar'], { encoding: 'utf8' }).trim()
  const wrapper = `exec '${process.execPath}' '${join(import.meta.dirname, 'tar-to-its-end.ts')}' '${tar}' "$@"`
  await mkdir(commands)
  await writeFile(join(commands, 'tar'), `#!/bin/sh\n${wrapper}\n`, { mode: 0o755 })
  return commands
}

/** What makes a node ready and a pod run. A KwokConfiguration is not passed: it would zero other options. */
async function stages(): Promise<string[]> {
  const folder = join(await kwokFolder(), 'kustomize/stage')
  const fast = join(folder, 'pod/fast')
  const ofPods = (await readdir(fast)).filter((file) => /^pod-.*\.yaml$/.test(file)).map((file) => join(fast, file))
  return [join(folder, 'node/fast/node-initialize.yaml'), join(folder, 'node/heartbeat/node-heartbeat.yaml'), ...ofPods]
}

/** YAML documents that are JSON. */
function podConfiguration({ log, console }: PodFiles): string {
  const document = (kind: string, spec: object, name = 'pods'): string =>
    JSON.stringify({ apiVersion: 'kwok.x-k8s.io/v1alpha1', kind, metadata: { name }, spec })
  const labels = [
    { name: 'namespace', value: 'pod.metadata.namespace' },
    { name: 'pod', value: 'pod.metadata.name' },
    { name: 'container', value: 'container.name' },
  ]
  const cpu = { name: CONTAINER_SERIES, help: 'CPU time.', kind: 'counter', dimension: 'container', labels }
  return [
    document('ClusterLogs', { logs: [{ logsFile: log, follow: true }] }),
    document('ClusterAttach', { attaches: [{ logsFile: console }] }),
    document('ClusterExec', { execs: [{ local: {} }] }),
    document('ClusterPortForward', { forwards: [{ target: { address: '127.0.0.1', port: ECHO_PORT } }] }),
    document('Metric', { path: '/metrics/cadvisor', metrics: [{ ...cpu, value: 'pod.SinceSecond()' }] }, NODE),
  ].join('\n---\n')
}
