/** What is counted of the agent's certificates. */
import { Counter, Gauge, type Registry } from 'prom-client'

export type RenewalMetrics = {
  readonly renewed: () => void
  readonly failed: () => void
  /** Somebody else has put another certificate in its place. */
  readonly exchanged: () => void
}

export function createRenewalMetrics(registry: Registry): RenewalMetrics {
  const registers = [registry]
  const name = 'culvert_agent_certificate_renewals_total'
  const help = 'Attempts to renew the certificate, by outcome.'
  const renewals = new Counter({ name, help, labelNames: ['outcome'], registers })
  const failing = new Gauge({
    name: 'culvert_agent_certificate_renewal_failing',
    help: '1 while the certificate should have been renewed and could not be.',
    registers,
  })
  return {
    renewed() {
      renewals.inc({ outcome: 'renewed' })
      failing.set(0)
    },
    failed() {
      renewals.inc({ outcome: 'failed' })
      failing.set(1)
    },
    exchanged: () => failing.set(0),
  }
}
