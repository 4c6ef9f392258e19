/** The list of replicas as people write it: YAML with one key, `replicas`. Pure. Every problem names its line. */
import type { FileText, Loaded } from '../../platform/watched.ts'
import { readYaml } from '../../platform/yaml.ts'
import type { ListedServer } from '../../tunnel/packet.ts'
import { readServerList } from '../../tunnel/server-list.ts'

/** Longest file: bytes. */
export const MAX_REPLICAS_BYTES = 65_536

const TEXTS = ['id', 'serverName', 'address']
const SHAPE = 'a map such as { id: hub-0, serverName: hub-0.hub.example }, with address and workers if need be'

export function readReplicasFile([file, ...more]: readonly FileText[]): Loaded<readonly ListedServer[]> {
  if (file === undefined || more.length > 0) return { ok: false, problems: ['expected one file with replicas'] }
  const { path: name, text } = file
  const yaml = readYaml(text, { name, maxBytes: MAX_REPLICAS_BYTES })
  if (!yaml.ok) return yaml
  const [document, ...others] = yaml.documents
  const list = document && listOf(document.value)
  if (document === undefined || others.length > 0 || list === undefined) {
    return { ok: false, problems: [`${name}: expected one document with the key replicas, a list`] }
  }
  const at = (place: string, expected: string): string => `${name}:${document.lineOf(place)}: expected ${expected}`
  const misread = list.flatMap((item, index) => (isReplica(item) ? [] : [at(`/replicas/${index}`, SHAPE)]))
  if (misread.length > 0) return { ok: false, problems: misread.slice(0, MAX_PROBLEMS) }
  const read = readServerList(list.map((item) => ({ ...ABSENT, ...(item as Partial<ListedServer>) })))
  if (read.ok) return { ok: true, value: read.servers }
  const problems = read.problems.map(({ at: index, expected }) =>
    at(index === undefined ? '/replicas' : `/replicas/${index}`, expected),
  )
  return { ok: false, problems: problems.slice(0, MAX_PROBLEMS) }
}

/** More say nothing that the first did not. */
const MAX_PROBLEMS = 20
const ABSENT: ListedServer = { id: '', address: '', serverName: '', workers: 1 }

function listOf(value: unknown): readonly unknown[] | undefined {
  if (!isMap(value) || Object.keys(value).length !== 1) return undefined
  const { replicas } = value
  return Array.isArray(replicas) ? replicas : undefined
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function isReplica(item: unknown): boolean {
  if (!isMap(item) || item.id === undefined || item.serverName === undefined) return false
  const isGood = ([key, value]: [string, unknown]): boolean =>
    key === 'workers' ? Number.isSafeInteger(value) : TEXTS.includes(key) && typeof value === 'string'
  return Object.entries(item).every(isGood)
}
