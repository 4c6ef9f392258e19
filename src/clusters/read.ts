/**
 * The clusters file, or the files of a folder, as clusters: each document checked against the schema, then all against each other,
 * because what leads to two clusters leads to none. Every mistake is counted, and the first are told with file and line. Pure but for the
 * schema.
 */
import { rangeText, readRange } from '../platform/address-range.ts'
import { formatBytes, parseBytes } from '../platform/bytes.ts'
import type { FileText, Loaded } from '../platform/watched.ts'
import { readYaml, type YamlDocument } from '../platform/yaml.ts'
import { pushProblem } from '../policy/core/authorise.ts'
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
  const problems = createProblems()
  const placed: Placed[] = []
  for (const { path, text } of files) {
    const read = readYaml(text, { name: path, maxBytes: MAX_CLUSTERS_BYTES })
    if (read.ok) for (const document of read.documents) place(document, placed, problems)
    else for (const problem of read.problems) problems.add(() => problem)
  }
  if (placed.length > MAX_CLUSTERS) {
    problems.add(() => `expected at most ${MAX_CLUSTERS} clusters, got ${placed.length}`)
  }
  findConflicts(placed, problems)
  const told = problems.told()
  return told.length > 0 ? { ok: false, problems: told } : { ok: true, value: placed.map(({ cluster }) => cluster) }
}

/**
 * What a server that runs reads: a file that is empty now, or a folder without files, is a mount that has gone or a full disk, and
 * no wish to cut everybody off.
 */
export function createClustersReader(): typeof readClusters {
  let hasSome = false
  return (files) => {
    const read = readClusters(files)
    if (!read.ok) return read
    if (hasSome && read.value.length === 0) {
      return { ok: false, problems: ['--clusters: expected at least one cluster, got none where there were some'] }
    }
    hasSome = read.value.length > 0
    return read
  }
}

type Problems = {
  /** @param say asked only when it is to be told, since to find a line costs something */
  readonly add: (say: () => string) => void
  /** More that nobody looked at. */
  readonly addMore: (count: number) => void
  readonly told: () => string[]
}

function createProblems(): Problems {
  const told: string[] = []
  let more = 0
  return {
    add(say) {
      if (told.length < MAX_PROBLEMS) told.push(say())
      else more++
    },
    addMore(count) {
      more += count
    },
    told: () => (more > 0 ? [...told, `and ${more} more`] : told),
  }
}

function place(document: YamlDocument, placed: Placed[], problems: Problems): void {
  const { name, value, lineOf } = document
  const { count, first } = schemaProblems(value, MAX_PROBLEMS)
  const found = first
    .map(({ pointer, expected }) => ({ line: lineOf(pointer), expected }))
    .sort((one, other) => one.line - other.line)
  for (const { line, expected } of found) problems.add(() => `${name}:${line}: ${expected}`)
  problems.addMore(count - first.length)
  if (count > 0) return
  const { policy } = value as ClusterDocument
  const rules = policy === undefined ? undefined : readRules(policy, 'hub')
  if (rules?.ok === false) {
    for (const { pointer, expected } of rules.problems) {
      problems.add(() => placedProblem(document, `/policy${pointer}`, expected))
    }
    return
  }
  const tooLong = rules && pushProblem(rules.rules)
  if (tooLong !== undefined) return problems.add(() => placedProblem(document, '/policy/rules', tooLong))
  const cluster = { ...clusterOf(value as ClusterDocument), policy: rules && policyOf(rules.rules) }
  const noRange = cluster.frontends.addresses.findIndex((text) => readRange(text) === undefined)
  if (noRange >= 0) {
    return problems.add(() =>
      placedProblem(document, `/frontends/addresses/${noRange}`, 'an address or a range such as 192.0.2.0/24'),
    )
  }
  const { bufferedBytes } = cluster.limits
  if (!Number.isSafeInteger(bufferedBytes) || bufferedBytes < MIN_BUFFERED_BYTES) {
    const expected = `limits.bufferedBytes: expected at least ${formatBytes(MIN_BUFFERED_BYTES)}`
    problems.add(() => `${name}:${lineOf('/limits/bufferedBytes')}: ${expected}`)
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
  const { serverNames = [], addresses = [], socket } = frontends
  return {
    id,
    agents: peersOf(agents),
    frontends: { ...peersOf(frontends), serverNames, addresses, socket },
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

/** One spelling of each range. */
const plainRange = (text: string): string => rangeText(readRange(text)!)

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
    ...each('/frontends/addresses', 'address of clients', frontends.addresses.map(plainRange)),
    ...(frontends.socket === undefined
      ? []
      : [['/frontends/socket', `socket ${JSON.stringify(frontends.socket)}`] as const]),
  ]
}

function findConflicts(placed: readonly Placed[], problems: Problems): void {
  const first = new Map<string, Placed & { readonly pointer: string }>()
  const where = ({ name, lineOf }: YamlDocument, pointer: string): string => `${name}:${lineOf(pointer)}`
  for (const { cluster, document } of placed) {
    for (const [pointer, what] of claims(cluster)) {
      const before = first.get(what)
      if (before === undefined) {
        first.set(what, { cluster, document, pointer })
        continue
      }
      problems.add(() => {
        const there = `cluster ${before.cluster.id} already, at ${where(before.document, before.pointer)}`
        return `${where(document, pointer)}: ${what} is that of ${there}`
      })
    }
  }
}
