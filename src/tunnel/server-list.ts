/**
 * A list of replicas, as a hub has it and an agent is told it, checked the same way on both ends: an agent takes nothing that it
 * did not check, and a hub sends nothing that agents would refuse. Pure. Source: docs/protocol.md section 8.
 */
import { ipBytes } from '../platform/ip-address.ts'
import { isMetadataText } from '../platform/metadata-text.ts'
import { readServerAddress } from '../platform/server-address.ts'
import type { ListedServer } from './packet.ts'

/** Replicas of one list. */
export const MAX_REPLICAS = 100
/** Of one replica, as --workers has it. */
export const MAX_REPLICA_WORKERS = 64
/** Streams that one list asks an agent for. */
export const MAX_LISTED_STREAMS = 250
const MAX_ID_CHARS = 256
const MAX_NAME_CHARS = 253
/** A name, a colon and a port. */
const MAX_ADDRESS_CHARS = MAX_NAME_CHARS + 6
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** `at`: its place in the list; of the list as a whole: none. */
export type ListProblem = { readonly at?: number; readonly expected: string }
export type ReadServerList =
  | { readonly ok: true; readonly servers: readonly ListedServer[] }
  | { readonly ok: false; readonly problems: readonly ListProblem[] }

/** Names come out in lower case and without a final dot, workers as at least 1. More than one problem of each server is not told. */
export function readServerList(given: readonly ListedServer[]): ReadServerList {
  if (given.length === 0) return { ok: false, problems: [{ expected: 'at least one replica' }] }
  if (given.length > MAX_REPLICAS) return { ok: false, problems: [{ expected: `at most ${MAX_REPLICAS} replicas` }] }
  const servers = given.map(canonical)
  const problems = servers.flatMap((server, at): ListProblem[] => {
    const expected = problemOf(server) ?? repeated(server, servers.slice(0, at))
    return expected === undefined ? [] : [{ at, expected }]
  })
  const streams = servers.reduce((sum, { workers }) => sum + workers, 0)
  if (streams > MAX_LISTED_STREAMS) problems.push({ expected: `at most ${MAX_LISTED_STREAMS} workers in all` })
  return problems.length > 0 ? { ok: false, problems } : { ok: true, servers }
}

/** The name that agents ask a replica for, in the one form that is compared; undefined when it is none that TLS could ask for. */
export function replicaName(text: string): string | undefined {
  if (text.length > MAX_NAME_CHARS + 1) return undefined
  const name = text.toLowerCase().replace(/\.$/, '')
  const labels = name.split('.')
  const isName = name.length <= MAX_NAME_CHARS && labels.every((label) => LABEL.test(label))
  return isName && !/^\d+$/.test(labels.at(-1)!) && ipBytes(name) === undefined ? name : undefined
}

export const isReplicaAddress = (text: string): boolean =>
  text.length <= MAX_ADDRESS_CHARS && readServerAddress(text, 1) !== undefined

const canonical = (server: ListedServer): ListedServer => ({
  ...server,
  serverName: replicaName(server.serverName) ?? '',
  workers: Math.max(1, server.workers),
})

function problemOf({ id, address, serverName, workers }: ListedServer): string | undefined {
  if (id === '' || id.length > MAX_ID_CHARS || !isMetadataText(id)) return 'an id of printable ASCII'
  if (serverName === '') return 'a DNS name as serverName'
  if (address !== '' && !isReplicaAddress(address)) return 'an address such as host, host:port or [IPv6 address]:port'
  return workers > MAX_REPLICA_WORKERS ? `at most ${MAX_REPLICA_WORKERS} workers` : undefined
}

function repeated({ id, address, serverName }: ListedServer, before: readonly ListedServer[]): string | undefined {
  if (before.some((other) => other.id === id)) return 'each id once'
  const isSame = (other: ListedServer): boolean => other.serverName === serverName && other.address === address
  return before.some(isSame) ? 'each serverName once' : undefined
}
