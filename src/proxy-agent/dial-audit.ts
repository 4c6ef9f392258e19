/** What an agent tells its audit log of the connections that a server asks it for. Nothing of it runs without such a log. */
import type { Audit, AuditRecord } from '../audit/record.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Connection, Ending } from '../tunnel/connection.ts'
import type { DialRequest } from '../tunnel/dials.ts'

export type AuditedDial = {
  /** @param address what was dialled */
  readonly connected: (address: string) => void
  readonly failed: (error: unknown) => void
  readonly ended: (connection: Connection | undefined, ending: Ending) => void
}

/** @param serverId of the server that asks: with the number of the dial it names a connection on both ends */
export function auditDial(
  audit: Audit,
  serverId: string,
  { random, address: destination }: DialRequest,
  now: () => number,
): AuditedDial {
  const about = { id: `${serverId}/${random}`, server: serverId, destination }
  let sinceMs = now()
  let address: string | undefined
  const tell = (record: AuditRecord): void =>
    audit({ ...record, ...about, address, durationMs: Math.round(now() - sinceMs) })

  return {
    connected(dialled) {
      address = dialled
      tell({ event: 'dial', verdict: 'allowed', outcome: 'connected' })
      sinceMs = now()
    },
    failed(error) {
      const reason = error instanceof Error ? error.message : String(error)
      const isRefused = error instanceof TunnelError && error.code === 'dial-refused'
      if (isRefused) tell({ event: 'dial', rule: String(error.cause), verdict: 'refused', reason })
      else tell({ event: 'dial', verdict: 'allowed', outcome: 'failed', reason })
    },
    ended(connection, ending) {
      const bytes = { bytesToTarget: connection?.receivedBytes, bytesFromTarget: connection?.sentBytes }
      if (ending.kind === 'finished') tell({ event: 'end', outcome: 'finished', ...bytes })
      else tell({ event: 'end', outcome: 'reset', by: ending.by, reason: ending.reason, ...bytes })
    },
  }
}

/** What `ended` and the owner both hear. */
export function bothHear(
  audited: AuditedDial,
  connection: () => Connection | undefined,
  then: (ending: Ending) => void,
): (ending: Ending) => void {
  return (ending) => {
    audited.ended(connection(), ending)
    then(ending)
  }
}
