/** A cluster as a hub knows it: config/clusters.schema.json says what each field is, docs/tenancy.md what it does. */

import type { Policy } from '../policy/policy.ts'

/** Certificates by what is in them, and what comes without one. */
export type Peers = {
  /** Whole subjects, their parts separated by ", ". */
  readonly subjects: readonly string[]
  /** Subject alternative names: `DNS:agent.example`. */
  readonly names: readonly string[]
  /** Of agents those that TokenReview names, of frontends the names of user certificates. */
  readonly users: readonly string[]
}

export type Frontends = Peers & {
  /** In lower case. */
  readonly serverNames: readonly string[]
  /** Addresses and ranges from which its clients come, and nobody else. */
  readonly addresses: readonly string[]
  readonly socket: string | undefined
}

export type ClusterLimits = {
  readonly agents: number
  readonly clients: number
  readonly connections: number
  readonly pendingDials: number
  readonly dialsPerSecond: number
  readonly bufferedBytes: number
}

export type Cluster = {
  readonly id: string
  readonly agents: Peers
  readonly frontends: Frontends
  readonly limits: ClusterLimits
  /** What clients may have dialled; none: what its agents allow. */
  readonly policy: Policy | undefined
}

/** Least of `bufferedBytes`: the windows of a few connections. */
export const MIN_BUFFERED_BYTES = 1_048_576

/** Those that protect the machine are divided among workers; an agent has a stream to each of them. */
export function limitsOfWorker(limits: ClusterLimits, workers: number): ClusterLimits {
  const share = (whole: number): number => Math.max(1, Math.ceil(whole / workers))
  return {
    agents: limits.agents,
    clients: share(limits.clients),
    connections: share(limits.connections),
    pendingDials: share(limits.pendingDials),
    dialsPerSecond: share(limits.dialsPerSecond),
    bufferedBytes: Math.max(MIN_BUFFERED_BYTES, share(limits.bufferedBytes)),
  }
}

/** A subject alternative name as it is compared: DNS names are the same in every case. */
export function canonicalName(name: string): string {
  return name.startsWith('DNS:') ? `DNS:${name.slice(4).toLowerCase()}` : name
}
