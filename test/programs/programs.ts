/**
 * Builds the real programs that tests and benchmarks run, once, into a cache outside the checkout.
 *
 * Each folder beside this file pins one module by go.mod and go.sum; grpc-client, which is our own (as is wan), has such a pair
 * for each release of the library it is built with. A program's place in the cache is named after the hash of the two, of its own
 * sources and of how it is built, so a change of any builds anew. A program is built under another name and renamed: who
 * finds it, finds it whole, and two runs at once only build it twice.
 *
 *   node test/programs/programs.ts [name…]    builds the named programs, or all, and prints where they are
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const GO_MAJOR = 1
const GO_MINOR = 26
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
/** A cold build of the largest takes about four minutes on two cores. */
const BUILD_DEADLINE_MS = 30 * 60_000

type Build = {
  readonly folder: string
  readonly goPackage: string
  readonly linkerFlags?: string
  /** In place of go.mod; go.sum's place is taken by the file beside it that ends in .sum. */
  readonly modFile?: string
  readonly tags?: string
}

// Clients parse the version that kube-apiserver reports; a build by `go build` alone reports none.
function kubernetesVersion(minor: string, patch: string): string {
  return Object.entries({ gitVersion: `v1.${minor}.${patch}`, gitMajor: '1', gitMinor: minor })
    .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    .join(' ')
}

const konnectivity = 'sigs.k8s.io/apiserver-network-proxy/cmd'
const kubernetes = 'k8s.io/kubernetes/cmd'
const grpcClient = { folder: 'grpc-client', goPackage: '.' }
const builds = {
  'konnectivity-server': { folder: 'konnectivity', goPackage: `${konnectivity}/server` },
  'konnectivity-agent': { folder: 'konnectivity', goPackage: `${konnectivity}/agent` },
  'konnectivity-server-v0.33.0': { folder: 'konnectivity-v0.33.0', goPackage: `${konnectivity}/server` },
  'konnectivity-agent-v0.33.0': { folder: 'konnectivity-v0.33.0', goPackage: `${konnectivity}/agent` },
  'konnectivity-server-v0.31.4': { folder: 'konnectivity-v0.31.4', goPackage: `${konnectivity}/server` },
  'konnectivity-agent-v0.31.4': { folder: 'konnectivity-v0.31.4', goPackage: `${konnectivity}/agent` },
  'grpc-client-v0.37.0': { ...grpcClient, modFile: 'v0.37.0.mod', tags: 'reuse' },
  'grpc-client': grpcClient,
  'grpc-client-v0.33.0': { ...grpcClient, modFile: 'v0.33.0.mod' },
  'grpc-client-v0.31.4': { ...grpcClient, modFile: 'v0.31.4.mod' },
  wan: { folder: 'wan', goPackage: '.' },
  etcd: { folder: 'etcd', goPackage: 'go.etcd.io/etcd/server/v3' },
  kwok: { folder: 'kwok', goPackage: 'sigs.k8s.io/kwok/cmd/kwok' },
  'kube-apiserver': {
    folder: 'kubernetes',
    goPackage: `${kubernetes}/kube-apiserver`,
    linkerFlags: kubernetesVersion('36', '3'),
  },
  'kube-apiserver-1.33': {
    folder: 'kubernetes-1.33',
    goPackage: `${kubernetes}/kube-apiserver`,
    linkerFlags: kubernetesVersion('33', '6'),
  },
  // Of the ways to find targets only Kubernetes: the others are the most of its build.
  prometheus: {
    folder: 'prometheus',
    goPackage: 'github.com/prometheus/prometheus/cmd/prometheus',
    linkerFlags: '-X github.com/prometheus/common/version.Version=3.13.5',
    tags: 'remove_all_sd,enable_kubernetes_sd',
  },
  kubectl: { folder: 'kubernetes', goPackage: `${kubernetes}/kubectl`, linkerFlags: kubernetesVersion('36', '3') },
} as const satisfies Record<string, Build>

export type ProgramName = keyof typeof builds
export const programNames = Object.keys(builds) as ProgramName[]

const asked = new Map<ProgramName, Promise<string>>()
let lastBuild: Promise<unknown> = Promise.resolve()

/**
 * The path of the program, which is built first when the cache has none. One build runs at a time: each uses all cores.
 *
 * @throws Error when Go is missing or too old, or with what the compiler said
 */
export function program(name: ProgramName): Promise<string> {
  const known = asked.get(name)
  if (known !== undefined) return known
  const path = lastBuild.then(() => buildOnce(name, builds[name]))
  lastBuild = path.catch(() => undefined)
  asked.set(name, path)
  return path
}

/** The folder of kwok's own module, which holds the stage files that kwok needs to bring nodes and pods up. */
export async function kwokFolder(): Promise<string> {
  const { stdout } = await go('kwok', ['list', '-m', '-f', '{{.Dir}}', 'sigs.k8s.io/kwok'])
  return stdout.trim()
}

/** What is missing for building, as a reader would install it; undefined when nothing is. */
export async function missingGo(): Promise<string | undefined> {
  const wanted = `Go ${GO_MAJOR}.${GO_MINOR} or later (https://go.dev/doc/install)`
  const { stdout } = await run('go', ['env', 'GOVERSION']).catch(() => ({ stdout: '' }))
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(stdout) ?? []
  if (major === undefined) return wanted
  return Number(major) > GO_MAJOR || Number(minor) >= GO_MINOR ? undefined : `${wanted}, found ${stdout.trim()}`
}

async function buildOnce(name: ProgramName, build: Build): Promise<string> {
  const folder = join(cacheFolder(), await pinnedBy(build))
  const path = join(folder, name)
  if (await exists(path)) return path
  const missing = await missingGo()
  if (missing !== undefined) throw new Error(`cannot build ${name}: needs ${missing}`)
  await mkdir(folder, { recursive: true })
  const unfinished = `${path}.${process.pid}.unfinished`
  const started = performance.now()
  progress(`building ${name}`)
  try {
    const flags = ['-buildvcs=false', '-ldflags', `-s -w ${build.linkerFlags ?? ''}`, '-tags', build.tags ?? '']
    const modFile = build.modFile === undefined ? [] : [`-modfile=${build.modFile}`]
    await go(build.folder, ['build', ...flags, ...modFile, '-o', unfinished, build.goPackage])
    await rename(unfinished, path)
  } finally {
    await rm(unfinished, { force: true })
  }
  progress(`built ${name} in ${Math.round((performance.now() - started) / 1000)} s`)
  return path
}

/** Runs Go in the folder of a pinned module; CGO off, so that no C compiler is needed. */
function go(folder: string, args: readonly string[]): Promise<{ readonly stdout: string }> {
  const env = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' }
  const cwd = join(import.meta.dirname, folder)
  return run('go', args, { cwd, env, maxBuffer: OUTPUT_LIMIT_BYTES, timeout: BUILD_DEADLINE_MS })
}

async function pinnedBy(build: Build): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(build))
  const folder = join(import.meta.dirname, build.folder)
  const modFile = build.modFile ?? 'go.mod'
  const sources = (await readdir(folder)).filter((file) => file.endsWith('.go')).sort()
  for (const file of [modFile, modFile.replace(/mod$/, 'sum'), ...sources]) {
    hash.update(await readFile(join(folder, file)))
  }
  return hash.digest('hex').slice(0, 16)
}

function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'culvert-test')
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** To standard error: standard output may be TAP. */
function progress(line: string): void {
  process.stderr.write(`programs: ${line}\n`)
}

if (import.meta.main) {
  const names = process.argv.length > 2 ? process.argv.slice(2) : programNames
  const unknown = names.filter((name) => !(name in builds))
  if (unknown.length > 0)
    throw new Error(`no such program: ${unknown.join(', ')}; known are ${programNames.join(', ')}`)
  for (const name of names) process.stdout.write(`${name} ${await program(name as ProgramName)}\n`)
}
