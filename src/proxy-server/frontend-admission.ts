/** Who a client of the frontend is, by its certificate. One that is not accepted is counted and warned of. */
import type { TLSSocket } from 'node:tls'
import type { Audit, AuditRecord } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { type Admission, admit } from './core/admission.ts'
import type { ServerMetrics } from './metrics.ts'
import { sourceOf } from './source.ts'
import { peerCertificate } from './tls-listener.ts'

/** Clients that are remembered, so as to warn of each once in a while and not at each of its requests. */
const MAX_WARNED = 1_000

export type AdmissionDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'clientForbidden'>
  readonly audit?: Audit | undefined
}

export function createFrontendAdmission(
  trustDomain: string | undefined,
  { clock, log, metrics, audit }: AdmissionDeps,
): (socket: TLSSocket) => Admission {
  const warnings = createWarnings(log, clock, MAX_WARNED)
  return (socket) => {
    const admission = admit(peerCertificate(socket, true), ['apiserver', 'user'], trustDomain)
    if (admission.kind === 'refused') {
      const { remoteAddress: remote } = socket
      metrics.clientForbidden('frontend')
      warnings.warn(`${remote}`, { cause: admission.cause, remote }, 'client certificate not accepted')
    }
    audit?.({ event: 'frontend', ...decisionOf(admission), source: sourceOf(socket) })
    return admission
  }
}

const decisionOf = (admission: Admission): Omit<AuditRecord, 'event'> =>
  admission.kind === 'refused'
    ? { verdict: 'refused', reason: `client certificate not accepted: ${admission.cause}` }
    : { cluster: admission.cluster, principal: admission.principal, verdict: 'allowed' }
