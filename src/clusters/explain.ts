/** A cluster in words: how its agents and clients are known, and what it may use. Pure. */
import { formatBytes } from '../platform/bytes.ts'
import type { Cluster, ClusterLimits, Peers } from './cluster.ts'

export function explain({ id, agents, frontends, limits }: Cluster): string[] {
  const { serverNames, socket } = frontends
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
    '  it may use',
    ...limitWords(limits).map((line) => `    ${line}`),
  ]
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
