/** What the audit log is told of those who are turned away before anybody asks who they are. */
import type { AuditRecord } from '../audit/record.ts'
import type { Port } from './metrics.ts'
import { plainAddress, type Source } from './source.ts'

const EVENTS = { agent: 'agent', frontend: 'frontend' } as const satisfies Record<Port, string>

/** @param source an address */
export const noHandshake = (
  port: Port,
  why: 'failed' | 'slow' | 'too many',
  source: string | undefined,
): AuditRecord => ({ event: EVENTS[port], source, verdict: 'refused', reason: `TLS handshake: ${why}` })

/** @param source address of the front door */
export const noProxyHeader = (port: Port, why: string, source: string | undefined): AuditRecord => ({
  event: EVENTS[port],
  source,
  verdict: 'refused',
  reason: `PROXY header: ${why}`,
})

export const noRoom = ({ remoteAddress }: Source): AuditRecord => ({
  event: 'frontend',
  source: plainAddress(remoteAddress),
  rule: 'limit',
  verdict: 'refused',
  reason: 'as many clients as may be are connected',
})
