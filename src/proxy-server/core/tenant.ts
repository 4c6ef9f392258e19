/**
 * What one cluster uses of a server, and what it may: agents, clients, connections, dials, bytes. At a limit that cluster is answered
 * so, and no other one notices. Pure. Source: docs/tenancy.md.
 */
import type { ClusterLimits } from '../../clusters/cluster.ts'
import { type TakeToken, tokenBucket } from '../../platform/token-bucket.ts'
import { type Budget, createBudget } from '../../tunnel/budget.ts'
import { type NextRefusal, refusalPace } from './refusal-pace.ts'
import { createUnreadBytes, type UnreadBytes } from './unread.ts'

/** As metrics name it. */
export type LimitName =
  | 'agents'
  | 'agent_joins'
  | 'clients'
  | 'sessions'
  | 'connections'
  | 'pending_dials'
  | 'dials_per_second'

/** A limit that was reached. */
export type OverLimit = {
  readonly limit: LimitName
  /** 429 where waiting helps by itself, 503 where something has to end first. */
  readonly status: 429 | 503
  readonly text: string
}

/** Clients over the limit that are told so at the same time, and agents; others are hung up on. */
export const MAX_TOLD = 100
/** In this time as many agents of a cluster may join as it may have, and as many at once: milliseconds. */
export const JOINS_MS = 10_000
/** Of a cluster that may have fewer agents. */
const LEAST_JOINS = 20
/** Streams for each agent that a cluster may have: one that comes back is there beside its dead one until that is found. */
const STREAMS_EACH = 2

export type Tenant = {
  readonly id: string
  limits: ClusterLimits
  /** Each once, however many streams it has. */
  agents: number
  agentStreams: number
  /** Agents that wait to be told of the limit. */
  toldAgents: number
  takeJoin: TakeToken
  /** Of agents over a limit. */
  readonly nextAgentRefusal: NextRefusal
  /** CONNECT clients, or gRPC calls. */
  clients: number
  /** HTTP/2 connections of gRPC clients. */
  sessions: number
  /** Clients that are being told of the limit. */
  told: number
  pendingDials: number
  /** Of clients and dials over a limit; each that waits is one of its clients, or one that is being hung up on. */
  readonly nextRefusal: NextRefusal
  takeDial: TakeToken
  /** Of all that waits for its agents and clients. */
  readonly budget: Budget
  /** Of its clients. */
  readonly unread: UnreadBytes
}

export type TenantDeps = {
  readonly processBudget: Budget
  readonly after: (ms: number, callback: () => void) => Disposable
}

export function createTenant(id: string, limits: ClusterLimits, { processBudget, after }: TenantDeps): Tenant {
  const budget = createBudget(limits.bufferedBytes, processBudget)
  budget.closeLargest = () => {
    let most: Budget | undefined
    for (const child of budget.children) if (child.usedBytes > (most?.usedBytes ?? 0)) most = child
    most?.closeLargest()
  }
  return {
    id,
    limits,
    agents: 0,
    agentStreams: 0,
    toldAgents: 0,
    takeJoin: joinsOf(limits),
    nextAgentRefusal: refusalPace(),
    clients: 0,
    sessions: 0,
    told: 0,
    pendingDials: 0,
    nextRefusal: refusalPace(),
    takeDial: tokenBucket(limits.dialsPerSecond, 1_000),
    budget,
    unread: createUnreadBytes(createBudget(Number.POSITIVE_INFINITY, budget), after), // the cluster's limit is theirs
  }
}

/** From now on; what is over a lower limit stays. */
export function setLimits(tenant: Tenant, limits: ClusterLimits): void {
  if (limits.agents !== tenant.limits.agents) tenant.takeJoin = joinsOf(limits)
  if (limits.dialsPerSecond !== tenant.limits.dialsPerSecond) {
    tenant.takeDial = tokenBucket(limits.dialsPerSecond, 1_000)
  }
  tenant.limits = limits
  tenant.budget.limitBytes = limits.bufferedBytes
}

const joinsOf = ({ agents }: ClusterLimits): TakeToken => tokenBucket(Math.max(LEAST_JOINS, agents), JOINS_MS)

/** Takes a token. Whoever joins again without end costs a handshake each time. */
export function joinOver({ id, takeJoin }: Tenant, nowMs: number): OverLimit | undefined {
  return takeJoin(nowMs) ? undefined : over(id, 'agent_joins', 'agents that join one after the other')
}

/** @param isThere whether that very agent has a stream */
export function agentOver({ id, agents, agentStreams, limits }: Tenant, isThere: boolean): OverLimit | undefined {
  const isOver = isThere ? agentStreams >= STREAMS_EACH * limits.agents : agents >= limits.agents
  return isOver ? over(id, 'agents', `${limits.agents} agents`) : undefined
}

export function clientOver({ id, clients, limits }: Tenant): OverLimit | undefined {
  return clients < limits.clients ? undefined : over(id, 'clients', `${limits.clients} clients`)
}

export function sessionOver({ id, sessions, limits }: Tenant): OverLimit | undefined {
  return sessions < limits.clients ? undefined : over(id, 'sessions', `${limits.clients} HTTP/2 connections`)
}

/** Takes a token when there is none of the other limits in the way. @param open connections of the cluster */
export function dialOver(tenant: Tenant, open: number, nowMs: number): OverLimit | undefined {
  const { id, limits, pendingDials } = tenant
  if (pendingDials >= limits.pendingDials) return over(id, 'pending_dials', `${limits.pendingDials} pending dials`)
  if (open + pendingDials >= limits.connections) return over(id, 'connections', `${limits.connections} connections`)
  if (tenant.takeDial(nowMs)) return undefined
  return { ...over(id, 'dials_per_second', `${limits.dialsPerSecond} dials a second`), status: 429 }
}

const over = (id: string, limit: LimitName, what: string): OverLimit => ({
  limit,
  status: 503,
  text: `cluster ${id} is at its limit of ${what}`,
})
