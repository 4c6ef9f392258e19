/**
 * The clusters file, or the files of a folder, as clusters: each document checked against the schema, then all against each other,
 * because what leads to two clusters leads to none. Every mistake is found, with its file and line. Pure but for the schema.
 */
import { formatBytes, parseBytes } from '../platform/bytes.ts'
import type { FileText, Loaded } from '../platform/watched.ts'
import { readYaml, type YamlDocument } from '../platform/yaml.ts'
import { readRules } from '../policy/core/read-rules.ts'
import { policyOf } from '../policy/policy.ts'
import { type Cluster, canonicalName, MIN_BUFFERED_BYTES, type Peers } from './cluster.ts'
import { type ClusterDocument, limitDefaults, schemaProblems } from './schema.ts'

/** Of all files together: bytes. */
export const MAX_CLUSTERS_BYTES = 2 * 1024 * 1024
/** Each has series in the metrics and a budget of its own. */
export const MAX_CLUSTERS = 5_000
/** More would tell nobody more. */
const MAX_PROBLEMS = 50

/** Where a cluster came from, for messages. */
type Placed = { readonly cluster: Cluster; readonly document: YamlDocument }

export function readClusters(files: readonly FileText[]): Loaded<readonly Cluster[]> {
  const problems: string[] = []
  const placed: Placed[] = []
  for (const { path, text } of files) {
    const read = readYaml(text, { name: path, maxBytes: MAX_CLUSTERS_BYTES })
    if (!read.ok) problems.push(...read.problems)
    else for (const document of read.documents) place(document, placed, problems)
  }
  if (placed.length > MAX_CLUSTERS) problems.push(`expected at most ${MAX_CLUSTERS} clusters, got ${placed.length}`)
  problems.push(...conflicts(placed))
  const more = problems.length - MAX_PROBLEMS
  if (more > 0) problems.splice(MAX_PROBLEMS, more, `and ${more} more`)
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: placed.map(({ cluster }) => cluster) }
}

function place(document: YamlDocument, placed: Placed[], problems: string[]): void {
  const { name, value, lineOf } = document
  const found = schemaProblems(value)
    .map(({ pointer, expected }) => ({ line: lineOf(pointer), expected }))
    .sort((one, other) => one.line - other.line)
  problems.push(...found.map(({ line, expected }) => `${name}:${line}: ${expected}`))
  if (found.length > 0) return
  const { policy } = value as ClusterDocument
  const rules = policy === undefined ? undefined : readRules(policy, 'hub')
  if (rules?.ok === false) {
    const wrong = rules.problems.map(({ pointer, expected }) => placedProblem(document, `/policy${pointer}`, expected))
    return void problems.push(...wrong)
  }
  const cluster = { ...clusterOf(value as ClusterDocument), policy: rules && policyOf(rules.rules) }
  const { bufferedBytes } = cluster.limits
  if (!Number.isSafeInteger(bufferedBytes) || bufferedBytes < MIN_BUFFERED_BYTES) {
    const expected = `limits.bufferedBytes: expected at least ${formatBytes(MIN_BUFFERED_BYTES)}`
    problems.push(`${name}:${lineOf('/limits/bufferedBytes')}: ${expected}`)
  }
  placed.push({ cluster, document })
}

const placedProblem = ({ name, lineOf }: YamlDocument, pointer: string, expected: string): string =>
  `${name}:${lineOf(pointer)}: ${pointer.slice(1).replaceAll('/', '.')}: expected ${expected}`

function clusterOf({ id, agents = {}, frontends = {}, limits = {} }: ClusterDocument): Omit<Cluster, 'policy'> {
  const limit = (name: string): number => {
    const given = limits[name] ?? limitDefaults[name] ?? Number.NaN
    return typeof given === 'number' ? given : (parseBytes(given) ?? Number.NaN)
  }
  const { serverNames = [], socket } = frontends
  return {
    id,
    agents: peersOf(agents),
    frontends: { ...peersOf(frontends), serverNames, socket },
    limits: {
      agents: limit('agents'),
      clients: limit('clients'),
      connections: limit('connections'),
      pendingDials: limit('pendingDials'),
      dialsPerSecond: limit('dialsPerSecond'),
      bufferedBytes: limit('bufferedBytes'),
    },
  }
}

const peersOf = ({ subjects = [], names = [], users = [] }: Partial<Peers>): Peers => ({
  subjects,
  names: names.map(canonicalName),
  users,
})

/** What must lead to one cluster only. Users of frontends may be in several: the server name they ask for chooses. */
function claims({ id, agents, frontends }: Cluster): (readonly [pointer: string, what: string])[] {
  const each = (pointer: string, kind: string, values: readonly string[]) =>
    values.map((value, index) => [`${pointer}/${index}`, `${kind} ${JSON.stringify(value)}`] as const)
  return [
    ['/id', `cluster ${JSON.stringify(id)}`],
    ...each('/agents/subjects', 'subject of agents', agents.subjects),
    ...each('/agents/names', 'name of agents', agents.names),
    ...each('/agents/users', 'user of agents', agents.users),
    ...each('/frontends/subjects', 'subject of frontends', frontends.subjects),
    ...each('/frontends/names', 'name of frontends', frontends.names),
    ...each('/frontends/serverNames', 'server name', frontends.serverNames),
    ...(frontends.socket === undefined
      ? []
      : [['/frontends/socket', `socket ${JSON.stringify(frontends.socket)}`] as const]),
  ]
}

function conflicts(placed: readonly Placed[]): string[] {
  const first = new Map<string, Placed & { readonly pointer: string }>()
  const problems: string[] = []
  const where = ({ name, lineOf }: YamlDocument, pointer: string): string => `${name}:${lineOf(pointer)}`
  for (const { cluster, document } of placed) {
    for (const [pointer, what] of claims(cluster)) {
      const before = first.get(what)
      if (before === undefined) first.set(what, { cluster, document, pointer })
      else {
        const there = `cluster ${before.cluster.id} already, at ${where(before.document, before.pointer)}`
        problems.push(`${where(document, pointer)}: ${what} is that of ${there}`)
      }
    }
  }
  return problems
}
