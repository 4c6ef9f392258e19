/** What the owner of a link brings to it, hears of it, and can ask of it. */
import type { Audit } from '../audit/record.ts'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { StreamEndCode } from '../platform/stream-figures.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { AddressRange } from '../policy/core/address.ts'
import type { Policy } from '../policy/policy.ts'
import type { Budget } from '../tunnel/budget.ts'
import type { Health, ListedServer } from '../tunnel/packet.ts'
import type { Session, SessionLimits } from '../tunnel/session-owner.ts'
import type { HeldServer } from './core/server-set.ts'
import type { Network } from './dialer.ts'
import type { AgentMetrics } from './metrics.ts'
import type { OpenSockets } from './open-sockets.ts'
import type { ServerStanding } from './server-standing.ts'

export type LinkOptions = {
  readonly host: string
  readonly port: number
  /** What is asked for in TLS and what the certificate must have, instead of the host. */
  readonly serverName?: string | undefined
  /** What the files hold now: a lane may be opened long after the stream. */
  readonly material: () => TlsMaterial
  readonly protocol: TlsProtocol
  readonly alpn: readonly string[]
  /** Read anew for each connection; empty: no token is shown. */
  readonly tokenFile: string
  /** What it holds now: a new one is shown on the connection that there is. */
  readonly currentToken: () => string
  readonly agentId: string
  readonly identifiers: string
  readonly userAgent: string
  readonly maxMessageBytes: number
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  /** Longest time between two looks at a link. */
  readonly probeIntervalMs: number
  /** A link that has drained ends when its server has asked for nothing for this long. */
  readonly drainQuietMs: number
  readonly dialTimeoutMs: number
  /** Never dialled. */
  readonly hubRanges: readonly AddressRange[]
  readonly streamBufferBytes: number
  readonly limits: SessionLimits
  /** Further connections for bulk; `auto`: by the length of the path. */
  readonly lanes: 'auto' | number
}

export type LinkDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: AgentMetrics
  readonly processBudget: Budget
  readonly sockets: OpenSockets
  /** Of servers, by their certificates; none: TLS alone looks at those. */
  readonly standing?: Pick<ServerStanding, 'hold' | 'refusal'> | undefined
  readonly network: Network
  readonly audit?: Audit | undefined
  /** The cluster's own policy, as it is now; none: everything. */
  readonly policy: () => Policy | undefined
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly health: (link: { readonly roundTripMs: number | undefined }) => Health
}

export type LinkEvents = {
  /** The server answered; `count` servers are there in all. @param extensions those that both know */
  readonly connected: (link: Link, count: number, extensions: readonly string[]) => void
  /** It was never connected, or no longer is. Once. */
  readonly gone: (link: Link, reason: string, wasConnected: boolean) => void
  readonly leaving: (link: Link, reconnectAfterMs: number) => void
  readonly drained: (link: Link) => void
  /** The replicas that there are now, as the server says. */
  readonly listed: (link: Link, replicas: readonly ListedServer[]) => void
}

export type Link = HeldServer & {
  readonly session: () => Session | undefined
  /** Whether its server is one that lists replicas. */
  readonly lists: () => boolean
  /** How the stream ended, as gRPC names it. */
  readonly endCode: () => StreamEndCode
  readonly drain: () => void
  /** The certificate was renewed: the server is shown the new one, or would hang up when the one before ends. */
  readonly showCertificate: () => void
  /** The same of the token. */
  readonly showToken: () => void
  /** Ends the stream after all that waits has been written. */
  readonly finish: () => void
  /** Ends the stream; its connections break. */
  readonly end: (reason: string) => void
}
