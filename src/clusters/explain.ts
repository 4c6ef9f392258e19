/** A cluster in words: how its agents and clients are known, and what it may use. Pure. */
import { formatBytes } from '../platform/bytes.ts'
import { writeRules } from '../policy/core/read-rules.ts'
import { ruleText } from '../policy/core/rules.ts'
import type { Cluster, ClusterLimits, Peers } from './cluster.ts'

export function explain({ id, agents, frontends, limits, policy }: Cluster): string[] {
  const { serverNames, addresses, socket } = frontends
  return [
    `cluster ${id}`,
    '  agents are known by',
    `    a certificate for spiffe://<trust domain>/cluster/${id}/agent/<name>`,
    ...peerLines(agents, 'a token of'),
    '  clients are known by',
    `    a certificate for spiffe://<trust domain>/cluster/${id}/apiserver`,
    ...peerLines(frontends, 'a user certificate of'),
    ...serverNames.map((name) => `    the server name ${name}, with any certificate that names no other cluster`),
    ...(socket === undefined ? [] : [`    the Unix socket ${socket}`]),
    ...(addresses.length === 0 ? [] : ['  clients alone come from', ...addresses.map((range) => `    ${range}`)]),
    '  clients may have dialled',
    ...(policy === undefined ? ['what its agents allow'] : policy.rules.map(ruleText)).map((line) => `    ${line}`),
    ...(policy === undefined ? [] : ['    and nothing else']),
    '  it may use',
    ...limitWords(limits).map((line) => `    ${line}`),
  ]
}

/** All that is known of a cluster, as a document that can be read again. */
export function asDocument(cluster: Cluster): object {
  const { policy, ...rest } = cluster
  return { ...rest, ...(policy && { policy: JSON.parse(writeRules(policy.rules)) }) }
}

const peerLines = ({ subjects, names, users }: Peers, user: string): string[] => [
  ...subjects.map((subject) => `    a certificate whose subject is ${subject}`),
  ...names.map((name) => `    a certificate with the name ${name}`),
  ...users.map((name) => `    ${user} ${name}`),
]

const limitWords = (limits: ClusterLimits): string[] => [
  `${limits.agents} agents`,
  `${limits.clients} clients at once`,
  `${limits.connections} connections at once`,
  `${limits.pendingDials} dials that wait for an answer`,
  `${limits.dialsPerSecond} dials a second`,
  `${formatBytes(limits.bufferedBytes)} that wait for its agents and clients`,
]
