/** The audit log of a program, when its command line asks for one: opened before anything is served, begun when it is, closed after all. */
import type { Registry } from 'prom-client'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { tallyCounter, tallyGauge } from '../platform/tallies.ts'
import { readVersion } from '../platform/version.ts'
import { type AuditFile, openAuditFile } from './audit-file.ts'
import type { Audit } from './record.ts'

/** Disposing it writes what is left. */
export type AuditLog = AsyncDisposable & {
  readonly begin: AuditFile['begin']
  readonly record: Audit
  readonly lose: AuditFile['lose']
  /** For a signal: the file was moved away. */
  readonly reopen: () => void
  readonly state: AuditFile['state']
}

export type AuditDeps = { readonly clock: Clock; readonly log: Log; readonly program: string }

/**
 * @param path empty: there is none
 * @throws TunnelError `bad-option`
 */
export function openAudit(path: string, deps: AuditDeps): AuditLog | undefined {
  if (path === '') return undefined
  const { begin, record, lose, reopen, state, close } = openAuditFile(path, { ...deps, version: readVersion() })
  return { begin, record, lose, reopen, state, [Symbol.asyncDispose]: close }
}

/** @param prefix of the program's own metrics, such as `culvert_server_` */
export function createAuditMetrics(
  registry: Registry,
  prefix: string,
  audit: Pick<AuditLog, 'state'> | undefined,
): void {
  if (!audit) return
  const counter = (name: string, help: string, read: () => number): void =>
    tallyCounter(registry, `${prefix}${name}`, help, [], () => [{ labels: {}, value: read() }])
  counter('audit_lines_total', 'Lines written to the audit log.', () => audit.state().written)
  counter('audit_lost_lines_total', 'Lines that the audit log could not take.', () => audit.state().lost)
  tallyGauge(registry, `${prefix}audit_alarm`, '1 while the audit log cannot be written where it should be.', () =>
    audit.state().alarm === undefined ? 0 : 1,
  )
}
