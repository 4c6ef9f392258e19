/** The agents of a server of many clusters: whose each is, within what its cluster may, and for as long as that stays so. */
import type { Clock } from '../platform/clock.ts'
import type { AgentStream, AgentStreamDeps } from './agent-stream-owner.ts'
import type { Admission, PeerCertificate } from './core/admission.ts'
import type { GrpcStatus } from './core/grpc-status.ts'
import { agentOver, joinOver, MAX_TOLD, type OverLimit, type Tenant } from './core/tenant.ts'
import { admitAgent, admitUser } from './core/tenant-admission.ts'
import type { Tenants } from './tenants.ts'

export type Identified = { readonly cluster: string; readonly principal: string; readonly agentId: string }

export type Obstacle = {
  readonly why: 'foreign_id' | 'cluster_limit' | 'unmapped'
  readonly status: GrpcStatus
  readonly text: string
  /**
   * It is to be told so that much later, in milliseconds; the caller says when it has been, or is gone. None: at once. It is hung up
   * on instead where too many wait.
   */
  readonly later?: { readonly afterMs: number; readonly isOver: () => void } | 'hang-up'
}

export type AgentTenants = {
  readonly ofPeer: (peer: PeerCertificate) => Admission
  /**
   * @param user whose token TokenReview has found it to be
   * @param peer its certificate, where the port asks for those as well
   */
  readonly ofUser: (user: string, peer: PeerCertificate) => Admission
  /** Why it cannot be one of its cluster's agents now. */
  readonly obstacle: (agent: Identified) => Obstacle | undefined
  readonly depsOf: (cluster: string, deps: AgentStreamDeps) => AgentStreamDeps
  /**
   * It is one from now on.
   *
   * @param now asked again when the clusters have changed: who is of another cluster then, or of none, is cut off
   * @returns it has gone
   */
  readonly join: (stream: AgentStream, principal: string, now: () => Admission) => () => void
}

type Member = { readonly stream: AgentStream; readonly now: () => Admission }
type Owner = { readonly principal: string; streams: number }

export function createAgentTenants(
  tenants: Tenants,
  trustDomain: string | undefined,
  clock: Pick<Clock, 'now'>,
): AgentTenants {
  const members = new Set<Member>()
  const owners = new Map<string, Owner>() // by cluster and agent id

  tenants.onChange(() => {
    for (const { stream, now } of members) {
      const admission = now()
      // By what else it is known, and so its name for us, may change; who it is cannot, on one connection.
      if (admission.kind === 'admitted' && admission.cluster === stream.cluster) continue
      const cause = admission.kind === 'refused' ? admission.cause : 'it is of another cluster now'
      stream.end('UNAUTHENTICATED', `the clusters of this server have changed: ${cause}`, 'unmapped')
    }
  })

  function limitedBy(cluster: string, { limit, text }: OverLimit): Obstacle {
    tenants.refused(cluster, limit)
    return { why: 'cluster_limit', status: 'RESOURCE_EXHAUSTED', text }
  }

  function laterFor(tenant: Tenant): NonNullable<Obstacle['later']> {
    if (tenant.toldAgents >= MAX_TOLD) return 'hang-up'
    tenant.toldAgents++
    return {
      afterMs: tenant.nextAgentRefusal(clock.now()),
      isOver: () => void tenant.toldAgents--,
    }
  }

  return {
    ofPeer: (peer) => admitAgent({ ...peer, required: true }, trustDomain, tenants.directory()),
    ofUser: (user, peer) => admitUser(user, peer, trustDomain, tenants.directory()),
    obstacle({ cluster, principal, agentId }) {
      const tenant = tenants.get(cluster)
      if (!tenant) return { why: 'unmapped', status: 'UNAUTHENTICATED', text: 'its cluster has just been removed' }
      const tooOften = joinOver(tenant, clock.now())
      if (tooOften) return { ...limitedBy(cluster, tooOften), later: laterFor(tenant) }
      const owner = owners.get(keyOf(cluster, agentId))
      if (owner && owner.principal !== principal) {
        const text = 'an agent with this agent ID and another identity is connected'
        return { why: 'foreign_id', status: 'PERMISSION_DENIED', text }
      }
      const over = agentOver(tenant, owner !== undefined)
      return over && limitedBy(cluster, over)
    },
    depsOf(cluster, deps) {
      const tenant = tenants.get(cluster)
      return tenant ? depsOfTenant(tenant, deps) : deps
    },
    join(stream, principal, now) {
      const { cluster, agentId } = stream
      const tenant = tenants.get(cluster)
      const key = keyOf(cluster, agentId)
      const owner = owners.get(key) ?? { principal, streams: 0 }
      const member = { stream, now }
      members.add(member)
      owners.set(key, owner)
      owner.streams++
      if (tenant) {
        tenant.agentStreams++
        if (owner.streams === 1) tenant.agents++
      }
      return () => {
        members.delete(member)
        owner.streams--
        if (owner.streams === 0) owners.delete(key)
        if (!tenant) return
        tenant.agentStreams--
        if (owner.streams === 0) tenant.agents--
      }
    },
  }
}

/** No cluster id has a blank, so the first one ends it. */
const keyOf = (cluster: string, agentId: string): string => `${cluster} ${agentId}`

/** What waits for its agents counts for the cluster; one stream may hold no more than the cluster. */
function depsOfTenant({ budget, limits: { bufferedBytes } }: Tenant, deps: AgentStreamDeps): AgentStreamDeps {
  const { options } = deps
  if (options.streamBufferBytes <= bufferedBytes) return { ...deps, processBudget: budget }
  const share = bufferedBytes / options.streamBufferBytes
  const { stock } = options.limits
  const limits = {
    ...options.limits,
    stock: {
      ...stock,
      connectionBytes: Math.min(stock.connectionBytes, bufferedBytes),
      streamBytes: stock.streamBytes * share,
    },
  }
  return { ...deps, processBudget: budget, options: { ...options, streamBufferBytes: bufferedBytes, limits } }
}
