/** What the router tells its audit log of clients: who was joined to which backend and for how long, and who was turned away. */
import { ALL_IN_FULL, createInFull, MANY, PEER_IN_FULL } from '../audit/in-full.ts'
import type { Audit, AuditRecord } from '../audit/record.ts'
import { createRepeatedAudit } from '../audit/repeated.ts'
import { type Address, ipText } from '../platform/address-range.ts'
import type { Clock } from '../platform/clock.ts'
import { ipBytes, sourceOf } from '../platform/ip-address.ts'
import type { Refusal } from './metrics.ts'
import type { SpliceEnd } from './splice.ts'

export type ClientAudit = {
  /** @param asked the name that it asked for, as far as it came to that */
  readonly refused: (why: Refusal, source: Address, asked: string | undefined) => void
  /** @returns to be told of its end */
  readonly joined: (joined: {
    readonly source: Address
    readonly asked: string | undefined
    readonly route: string
    readonly backend: string
  }) => (how: SpliceEnd) => void
}

/** Those who are turned away, and more than that, may come as often as they like: once a minute it is told how many of a source. */
export function auditClients(audit: Audit, clock: Pick<Clock, 'now'>): ClientAudit {
  const often = createRepeatedAudit(audit, clock)
  const isInFull = createInFull(PEER_IN_FULL, ALL_IN_FULL) // a name is all that a stranger needs to be joined

  return {
    refused(why, { ip }, destination) {
      const verdict = why === 'left' ? ({ outcome: 'failed' } as const) : ({ verdict: 'refused' } as const)
      often({ event: 'client', source: plain(ip), destination, ...verdict, reason: why })
    },
    joined({ source, asked, route, backend }) {
      if (!isInFull(sourceOf(source.ip), clock.now())) {
        often({ event: 'client', source: plain(source.ip), rule: route, verdict: 'allowed', reason: MANY })
        return () => undefined
      }
      const about = { source: shown(source), destination: asked, rule: route, address: backend }
      const startMs = clock.now()
      audit({ event: 'client', ...about, verdict: 'allowed', outcome: 'connected' })
      return (how) => {
        const outcome = how === 'finished' ? 'finished' : 'reset'
        audit({ event: 'end', ...about, outcome, reason: reasonOf(how), durationMs: Math.round(clock.now() - startMs) })
      }
    },
  }
}

/** As IPv4 what a listener on all addresses sees as IPv4-mapped IPv6. */
function plain(ip: string): string {
  const bytes = ipBytes(ip)
  return bytes === undefined ? ip : ipText(Uint8Array.from(bytes))
}

function shown({ ip, port }: Address): string {
  const address = plain(ip)
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

const reasonOf = (how: SpliceEnd): AuditRecord['reason'] => (how === 'finished' ? undefined : how)
