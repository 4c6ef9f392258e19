/**
 * Finds an agent for a CONNECT and has it dial: one attempt, and a second on another agent when the first one's stream is at
 * a limit, or ends before it has answered. Source: docs/protocol.md section 7 and 9.
 */
import type { Clock } from '../platform/clock.ts'
import type { Authorisation } from '../policy/core/authorise.ts'
import type { Connection, ConnectionEvents } from '../tunnel/connection.ts'
import type { DialRequest, DialFailure as SessionFailure } from '../tunnel/dials.ts'
import type { Int64 } from '../tunnel/packet.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { Arrivals } from './core/arrivals.ts'
import type { Clusters } from './core/clusters.ts'
import type { DialFailure } from './core/dial-response.ts'
import { dialOver, type OverLimit, type Tenant } from './core/tenant.ts'
import type { ServerMetrics } from './metrics.ts'
import type { Source } from './source.ts'
import type { Tenants } from './tenants.ts'

export type DialDeps = {
  readonly clusters: Clusters<AgentStream>
  readonly clock: Clock
  readonly metrics: ServerMetrics
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  /** A non-negative int64 that no pending dial has. */
  readonly dialNumber: () => Int64
  /** Longest wait for an agent's answer: milliseconds, 0 for ever. */
  readonly timeoutMs: number
  readonly maxPendingPerFrontend: number
  /** On a server that has just started: agents who will come. */
  readonly arrivals?: Pick<Arrivals, 'wait'> | undefined
  /** On a server of many clusters: what the cluster may. */
  readonly tenants?: Pick<Tenants, 'get' | 'refused'>
  /** What the hub's policy says of a dial, before an agent is asked. */
  readonly authorise: (cluster: string, principal: string, address: string) => Authorisation
}

export type Waiter = {
  readonly connected: (connection: Connection, agent: AgentStream, random: Int64) => ConnectionEvents
  /** @param tried whom was asked last, if anybody was */
  readonly failed: (failure: DialFailure, tried?: Attempt) => void
  /** It is one of the dials that its cluster may have, whatever becomes of it. */
  readonly counted?: () => void
  /** An agent is asked now; there may be a second one. */
  readonly asking?: (attempt: Attempt) => void
  /** Where who waits comes from. */
  readonly source?: Source | undefined
}
export type Attempt = { readonly agent: AgentStream; readonly random: Int64 }

export type Dialing = {
  /**
   * Dials; the waiter hears one of the two, once, unless it cancels.
   *
   * @param principal whose dial it is; each has a bounded number pending
   * @param wanted what the agent sees: the number, unless an answer to another dial may come under it, and the protocol
   * @returns cancels the dial
   */
  readonly dial: (cluster: string, principal: string, address: string, waiter: Waiter, wanted?: Wanted) => () => void
}

export type Wanted = Pick<DialRequest, 'random' | 'protocol'>

/** Why an agent did not come to an answer of its own. */
type Unable = Exclude<SessionFailure, { readonly kind: 'refused' }>

/** An agent that takes no policy, as a stock one, would dial whatever the name resolves to. */
const UNJUDGED =
  'not allowed by the policy of the cluster: it depends on the address, and no agent takes a policy to judge it by'

export function createDialing(deps: DialDeps): Dialing {
  const { clusters, clock, metrics, tenants } = deps
  const pending = new Map<string, number>() // by principal
  const openOf = (cluster: string): number =>
    clusters.of(cluster).reduce((sum, { session }) => sum + session.connectionCount(), 0)

  function count(who: string, change: 1 | -1): void {
    const next = (pending.get(who) ?? 0) + change
    if (next > 0) pending.set(who, next)
    else pending.delete(who)
  }

  function refuseLater(tenant: Tenant, over: OverLimit, waiter: Waiter): () => void {
    const failure = { kind: 'cluster-limit', status: over.status, text: over.text } as const
    const later = clock.after(tenant.nextRefusal(clock.now()), () => waiter.failed(failure))
    return () => later[Symbol.dispose]()
  }

  function dial(cluster: string, principal: string, address: string, waiter: Waiter, wanted?: Wanted): () => void {
    const tenant = tenants?.get(cluster)
    if (tenants && !tenant) {
      waiter.failed({ kind: 'denied', text: `cluster ${cluster} has just been removed` })
      return () => {}
    }
    const who = tenant ? `${cluster} ${principal}` : principal // a user may be of several clusters
    if ((pending.get(who) ?? 0) >= deps.maxPendingPerFrontend) {
      metrics.dialRefused('frontend')
      waiter.failed({ kind: 'too-many-dials' })
      return () => {}
    }
    const over = tenant && dialOver(tenant, openOf(cluster), clock.now())
    if (over) {
      tenants?.refused(cluster, over.limit)
      return refuseLater(tenant, over, waiter)
    }
    waiter.counted?.()
    let authorisation = deps.authorise(cluster, principal, address)
    if (authorisation.kind === 'denied') {
      metrics.dialDenied('policy')
      waiter.failed(authorisation)
      return () => {}
    }
    count(who, 1)
    if (tenant) tenant.pendingDials++
    const startMs = clock.now()
    let current: Attempt | undefined
    let waiting: Disposable | undefined
    let done = false
    const deadline = deps.timeoutMs > 0 ? clock.after(deps.timeoutMs, timedOut) : undefined

    function finish(): void {
      done = true
      deadline?.[Symbol.dispose]()
      waiting?.[Symbol.dispose]()
      count(who, -1)
      if (tenant) tenant.pendingDials--
    }

    function fail(failure: DialFailure): void {
      finish()
      waiter.failed(failure, current)
    }

    function abandon(): void {
      if (current) current.agent.session.cancel(current.random)
    }

    function timedOut(): void {
      abandon()
      metrics.dialFailed('backend_dial_timeout')
      fail({ kind: 'dial-timeout' })
    }

    function failOn(unable: Unable): void {
      if (unable.kind === 'too-many') {
        metrics.dialRefused('stream')
        fail({ kind: 'too-many-dials' })
      } else {
        metrics.dialFailed('backend_close')
        fail({ kind: 'agent-lost', cause: unable.reason })
      }
    }

    function attempt(before?: { agent: AgentStream; unable: Unable }): void {
      if (before) authorisation = deps.authorise(cluster, principal, address) // it may be another policy by now
      if (authorisation.kind === 'denied') {
        metrics.dialDenied('policy')
        return fail(authorisation)
      }
      const byAddress = authorisation.kind === 'by-address'
      const pick = byAddress ? clusters.pickJudge : clusters.pick
      const agent = pick(cluster, address, deps.random(), before?.agent)
      if (!agent && before) return failOn(before.unable)
      if (!agent) {
        waiting = deps.arrivals?.wait(cluster, () => {
          authorisation = deps.authorise(cluster, principal, address)
          attempt()
        })
        if (waiting) return
        if (byAddress && clusters.pick(cluster, address, deps.random())) {
          metrics.dialDenied('unjudged')
          return fail({ kind: 'denied', text: UNJUDGED })
        }
        metrics.dialFailed('no_agent')
        return fail({ kind: 'no-agent' })
      }
      const random = wanted && !agent.session.hasDial(wanted.random) ? wanted.random : deps.dialNumber()
      current = { agent, random }
      waiter.asking?.(current)
      agent.pushPolicy() // by which it judges, if one has changed and not reached it yet
      agent.session.dial(
        { random, protocol: wanted?.protocol ?? 'tcp', address },
        {
          connected(connection) {
            finish()
            metrics.dialSucceeded(clock.now() - startMs)
            return waiter.connected(connection, agent, random)
          },
          failed(failure) {
            if (failure.kind === 'refused') {
              metrics.dialFailed('error_response')
              fail({ kind: 'dial-error', text: failure.text })
            } else if (before) failOn(failure)
            else attempt({ agent, unable: failure })
          },
        },
      )
    }

    attempt()
    return () => {
      if (done) return
      abandon()
      metrics.dialFailed('frontend_close')
      finish()
    }
  }

  return { dial }
}
