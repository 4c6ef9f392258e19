/** kubectl, run beside kube-apiserver in the hub, as an administrator. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { program } from '../programs/programs.ts'
import { HUB_ADDRESS } from './network.ts'
import type { Pki } from './pki.ts'

export const API_PORT = 6443
const DEADLINE_MS = 60_000

export type Outcome = { readonly code: number | null; readonly stdout: Buffer; readonly stderr: string }
export type Kubectl = {
  /** Runs to the end; a file given as `stdin` is fed to it. */
  (args: readonly string[], options?: { readonly stdin?: string; readonly deadlineMs?: number }): Promise<Outcome>
  /** The text it prints. @throws Error when it fails, with what it said */
  text(...args: readonly string[]): Promise<string>
  /** Starts one that goes on until it is killed, or ends by itself. */
  follow(...args: readonly string[]): ChildProcess
}

/** @param hub the network namespace that it runs in; @param folder keeps its configuration and cache; @param apiPort kube-apiserver's */
export async function makeKubectl(
  hub: string,
  { kubernetes }: Pick<Pki, 'kubernetes'>,
  folder: string,
  apiPort: number = API_PORT,
): Promise<Kubectl> {
  const path = await program('kubectl')
  const kubeconfig = join(folder, 'admin.kubeconfig')
  await writeFile(kubeconfig, kubeconfigFor({ kubernetes }, apiPort), { mode: 0o600 })
  const env = { ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: join(folder, 'kubectl-cache') }

  const follow = (args: readonly string[], signal?: AbortSignal): ChildProcess =>
    spawn('ip', ['netns', 'exec', hub, path, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    })

  async function kubectl(...[args, { stdin, deadlineMs = DEADLINE_MS } = {}]: Parameters<Kubectl>): Promise<Outcome> {
    const late = AbortSignal.timeout(deadlineMs)
    const child = follow(args, late)
    child.on('error', () => undefined) // an abort: told from `late` below
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout?.on('data', (chunk) => out.push(chunk))
    child.stderr?.on('data', (chunk) => err.push(chunk))
    // A command that needs no more input ends its side first: an error of writing is no failure of the command.
    if (stdin !== undefined && child.stdin) pipeline(createReadStream(stdin), child.stdin).catch(() => undefined)
    else child.stdin?.end()
    const [code] = await once(child, 'close')
    const stderr = Buffer.concat(err).toString()
    if (late.aborted) throw new Error(`kubectl ${args.join(' ')} took longer than ${deadlineMs} ms\n${stderr}`)
    return { code, stdout: Buffer.concat(out), stderr }
  }

  async function text(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await kubectl(args)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`)
    return stdout.toString()
  }
  return Object.assign(kubectl, { text, follow: (...args: readonly string[]) => follow(args) })
}

/** For kubectl in the hub and kwok in the cell: both reach kube-apiserver by the hub's address. */
export function kubeconfigFor({ kubernetes }: Pick<Pki, 'kubernetes'>, apiPort: number = API_PORT): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'admin',
    clusters: [
      {
        name: 'cell',
        cluster: { server: `https://${HUB_ADDRESS}:${apiPort}`, 'certificate-authority': kubernetes.ca.cert },
      },
    ],
    users: [
      {
        name: 'admin',
        user: { 'client-certificate': kubernetes.admin.cert, 'client-key': kubernetes.admin.key },
      },
    ],
    contexts: [{ name: 'admin', context: { cluster: 'cell', user: 'admin' } }],
  })
}
