/** What the owner of an agent's stream brings to it, hears of it, and can ask of it. */
import type { TLSSocket } from 'node:tls'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Policy } from '../policy/policy.ts'
import type { Budget } from '../tunnel/budget.ts'
import type { ListedServer } from '../tunnel/packet.ts'
import type { Session, SessionLimits } from '../tunnel/session-owner.ts'
import type { AgentRecord } from './core/agent-record.ts'
import type { BegunMessages } from './core/begun-messages.ts'
import type { PooledAgent } from './core/clusters.ts'
import type { GrpcStatus } from './core/grpc-status.ts'
import type { Identifiers } from './core/identifiers.ts'
import type { LaneTokens } from './lane-tokens.ts'
import type { CutOffCause, ServerMetrics, StreamEnd } from './metrics.ts'

export type AgentStreamOptions = {
  readonly serverId: string
  readonly serverCount: number
  readonly maxMessageBytes: number
  readonly heartbeatTimeoutMs: number
  readonly streamBufferBytes: number
  readonly limits: SessionLimits
  /** Lanes of one agent; 0 for none. */
  readonly maxLanes: number
}

export type AgentStreamDeps = {
  readonly options: AgentStreamOptions
  readonly clock: Clock
  readonly log: Log
  readonly metrics: ServerMetrics
  readonly processBudget: Budget
  /** Of all agents. */
  readonly begun: BegunMessages
  readonly laneTokens: LaneTokens
  readonly audit?: Audit | undefined
  /** For what a peer may do as often as it likes. */
  readonly auditOften?: Audit | undefined
  /** The hub's, of a cluster, as it is now; none: it says nothing. */
  readonly policy: (cluster: string) => Policy | undefined
  /** All replicas of this server, where agents are told of them; they may not be known yet. */
  readonly replicas?: (() => readonly ListedServer[] | undefined) | undefined
}

export type AgentStream = PooledAgent & {
  readonly cluster: string
  readonly identifiers: Identifiers
  readonly session: Session
  readonly record: AgentRecord
  /** Of the lanes that stand. */
  readonly laneSockets: () => readonly TLSSocket[]
  /** Sends the policy as it is now, to an agent that takes one. */
  readonly pushPolicy: () => void
  /** Tells an agent that takes it of all replicas, as far as they are known. */
  readonly tellReplicas: () => void
  /** Ends the stream with a status; its connections break. */
  readonly end: (status: GrpcStatus, message: string, how: StreamEnd) => void
}

export type NewAgent = {
  readonly agentId: string
  readonly identifiers: Identifiers
  readonly extensions: string | undefined
  readonly cluster: string
  readonly principal: string
  /** Whose certificate its connection showed; with tokens that is nobody's. */
  readonly certified: string
  readonly remoteAddress: string
  /** Its token is reviewed again, and may be followed by another one. */
  readonly takesTokens: boolean
}

export type AgentStreamEvents = {
  /** Once at most: the agent wants no new connections while there is another one. */
  readonly draining: (agent: AgentStream) => void
  /** It cannot read the policy that it was pushed, and refuses every dial; or can read another one. */
  readonly refusing: (agent: AgentStream) => void
  /** Once, before the dials of an ending stream are told. */
  readonly gone: (agent: AgentStream, how: StreamEnd | CutOffCause) => void
}
