/** What is counted of certificates that agents asked for. */
import { Counter, type Registry } from 'prom-client'
import type { EnrolmentRefusal } from '../pki/enrolment-wire.ts'
import { labelValue } from '../platform/tallies.ts'

export type EnrolmentOutcome = 'issued' | 'left' | 'slow' | 'too_many' | EnrolmentRefusal

export type EnrolmentMetrics = {
  /** @param kind none: it never came to say what it wanted */
  readonly enrolled: (kind: 'join' | 'renewal' | 'none', outcome: EnrolmentOutcome) => void
}

export function createEnrolmentMetrics(registry: Registry): EnrolmentMetrics {
  const enrolments = new Counter({
    name: 'culvert_server_enrolments_total',
    help: 'Agents that asked for a certificate, by what they showed and what became of it.',
    labelNames: ['kind', 'outcome'],
    registers: [registry],
  })
  return { enrolled: (kind, outcome) => enrolments.inc({ kind, outcome: labelValue(outcome) }) }
}
