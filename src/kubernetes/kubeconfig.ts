/**
 * Access to an API server by a kubeconfig, which @kubernetes/client-node reads: contexts, certificates, tokens, plug-ins
 * that print credentials, proxies. It costs 90 MB of memory, so whoever needs no kubeconfig does not import this file.
 */
import type { Agent, RequestOptions } from 'node:https'
import { dirname, resolve } from 'node:path'
import { KubeConfig, loadYaml } from '@kubernetes/client-node'
import { TunnelError } from '../platform/errors.ts'
import { readSmallFile } from '../platform/secret-file.ts'
import type { ApiAccess, ApiCredentials } from './access.ts'

const MAX_FILE_BYTES = 1_048_576

/** @throws TunnelError `bad-option` */
export async function kubeconfigAccess(path: string): Promise<ApiAccess> {
  const config = new KubeConfig()
  try {
    const text = readSmallFile(path, MAX_FILE_BYTES)
    config.loadFromString(text)
    config.makePathsAbsolute(dirname(path))
    readTokenFiles(config, text, dirname(path))
    preparePlugins(config, dirname(path))
  } catch (cause) {
    throw unusable(path, shortened(cause))
  }
  const cluster = config.getCurrentCluster()
  if (!cluster) throw unusable(path, `its current-context ${JSON.stringify(config.currentContext)} names no cluster`)
  if (!config.getCurrentUser()) throw unusable(path, 'its current-context names no user')
  if (!URL.canParse(cluster.server) || new URL(cluster.server).protocol !== 'https:') {
    throw unusable(path, `expected a server such as https://10.0.0.1:6443, got ${JSON.stringify(cluster.server)}`)
  }
  let underWay: Promise<ApiCredentials> | undefined // one at a time: a plug-in that hangs is not started again and again
  return {
    server: new URL(cluster.server),
    credentials() {
      underWay ??= credentialsOf(config, cluster.proxyUrl !== undefined).finally(() => {
        underWay = undefined
      })
      return underWay
    },
  }
}

async function credentialsOf(config: KubeConfig, proxied: boolean): Promise<ApiCredentials> {
  const options: RequestOptions = {}
  try {
    await config.applyToHTTPSOptions(options)
  } catch (cause) {
    throw new Error(`the credentials of --kubeconfig cannot be had: ${shortened(cause)}`)
  }
  const { headers, auth, ca, cert, key, servername, rejectUnauthorized, agent } = options
  const basic = auth ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {}
  return {
    headers: { ...(headers as Record<string, string>), ...basic },
    tls: {
      ...(ca && { ca: ca as Buffer }),
      ...(cert && { cert: cert as Buffer }),
      ...(key && { key: key as Buffer }),
      ...(servername && { servername }),
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    },
    // Its own agent keeps the certificates of the first request for ever; only a proxy needs one.
    ...(proxied && { agent: agent as Agent }),
  }
}

/** The library looks for `token-file`; a kubeconfig calls it `tokenFile`. What reads a pod's token reads these too, every minute. */
function readTokenFiles(config: KubeConfig, text: string, folder: string): void {
  const { users = [] } = loadYaml<{ users?: { name?: string; user?: { tokenFile?: string } }[] }>(text)
  for (const { name, user } of users) {
    const target = config.users.find((one) => one.name === name)
    if (!target || !user?.tokenFile || target.token) continue
    const provider = { name: 'tokenFile', config: { tokenFile: resolve(folder, user.tokenFile) } }
    config.users[config.users.indexOf(target)] = { ...target, authProvider: provider }
  }
}

/** What Kubernetes promises to plug-ins and the library leaves out: a path beside the kubeconfig, and what they are asked for. */
function preparePlugins({ users }: KubeConfig, folder: string): void {
  for (const { exec } of users as { exec?: Plugin | null }[]) {
    if (!exec?.command) continue
    if (exec.command.includes('/')) exec.command = resolve(folder, exec.command)
    const asked = { apiVersion: exec.apiVersion, kind: 'ExecCredential', spec: { interactive: false } }
    exec.env = [...(exec.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(asked) }]
  }
}

type Plugin = { command?: string; apiVersion?: string; env?: { name: string; value: string }[] | null }

/** What went wrong, without the lines of the file, or the output of a plug-in, that a parser quotes: they may be secret. */
function shortened(cause: unknown): string {
  if (cause instanceof SyntaxError) return 'what a plug-in printed is no JSON'
  const [line = ''] = cause instanceof Error ? cause.message.split('\n') : [String(cause)]
  return line.slice(0, MAX_TEXT_CHARS)
}

const MAX_TEXT_CHARS = 300

const unusable = (path: string, why: string): TunnelError =>
  new TunnelError('bad-option', `failed to load kubernetes client config: --kubeconfig ${path}: ${why}`)
