/**
 * Has the audit log told of each dial and of the end of each connection: a dialing around the one that dials. Without an audit
 * log there is none of it, and a connection costs nothing more.
 */
import type { Audit, AuditRecord } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Connection, ConnectionEvents, Ending } from '../tunnel/connection.ts'
import type { Int64 } from '../tunnel/packet.ts'
import type { DialFailure } from './core/dial-response.ts'
import type { Attempt, Dialing } from './dialing.ts'
import { sourceOf } from './source.ts'

export type AuditedDialingDeps = {
  readonly audit: Audit
  readonly serverId: string
  readonly clock: Pick<Clock, 'now'>
}

export function auditDials(dialing: Dialing, { audit, serverId, clock }: AuditedDialingDeps): Dialing {
  const idOf = (random: Int64): string => `${serverId}/${random}`

  return {
    dial(cluster, principal, address, waiter, wanted) {
      const startMs = clock.now()
      const asked: Omit<AuditRecord, 'event'> = {
        cluster,
        principal,
        source: waiter.source && sourceOf(waiter.source),
        destination: address,
      }
      const tell = (record: Omit<AuditRecord, 'event'>): void =>
        audit({ event: 'dial', ...asked, ...record, durationMs: since(startMs) })
      let last: Attempt | undefined
      let isOver = false
      const cancel = dialing.dial(
        cluster,
        principal,
        address,
        {
          ...waiter,
          asking(attempt) {
            last = attempt
          },
          connected(connection, agent, random) {
            isOver = true
            const about = { id: idOf(random), ...asked, agent: agent.agentId }
            tell({ ...about, verdict: 'allowed', outcome: 'connected' })
            return untilEnd(connection, about, waiter.connected(connection, agent, random))
          },
          failed(failure, tried) {
            isOver = true
            const about = tried && { id: idOf(tried.random), agent: tried.agent.agentId }
            tell({ ...about, ...outcomeOf(failure) })
            waiter.failed(failure, tried)
          },
        },
        wanted,
      )
      return () => {
        const about = last && { id: idOf(last.random), agent: last.agent.agentId }
        if (!isOver) tell({ ...about, verdict: 'allowed', outcome: 'failed', reason: 'the client went away' })
        isOver = true
        cancel()
      }
    },
  }

  function untilEnd(
    connection: Connection,
    about: Omit<AuditRecord, 'event'>,
    events: ConnectionEvents,
  ): ConnectionEvents {
    const openedMs = clock.now()
    return {
      ...events,
      over(ending) {
        audit({
          event: 'end',
          ...about,
          ...howOf(ending),
          bytesToTarget: connection.sentBytes,
          bytesFromTarget: connection.receivedBytes,
          durationMs: since(openedMs),
        })
        events.over(ending)
      },
    }
  }

  function since(ms: number): number {
    return Math.round(clock.now() - ms)
  }
}

const howOf = (ending: Ending): Omit<AuditRecord, 'event'> =>
  ending.kind === 'finished' ? { outcome: 'finished' } : { outcome: 'reset', by: ending.by, reason: ending.reason }

/** A dial that was let through and came to nothing was allowed all the same. */
function outcomeOf(failure: DialFailure): Omit<AuditRecord, 'event'> {
  switch (failure.kind) {
    case 'too-many-dials':
      return { rule: 'limit', verdict: 'refused', reason: failure.kind }
    case 'denied':
      return { rule: 'policy', verdict: 'refused', reason: failure.text }
    case 'cluster-limit':
      return { rule: 'limit', verdict: 'refused', reason: failure.text }
    case 'dial-error':
      return { verdict: 'allowed', outcome: 'failed', reason: failure.text }
    case 'agent-lost':
      return { verdict: 'allowed', outcome: 'failed', reason: failure.cause }
    case 'no-agent':
    case 'dial-timeout':
      return { verdict: 'allowed', outcome: 'failed', reason: failure.kind }
    default:
      return failure satisfies never // a new one does not compile until it is known whether it is a refusal
  }
}
