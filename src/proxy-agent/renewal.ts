/**
 * Renews the agent's certificate while the agent runs, with a new key each time. Nothing that is open notices: the new files are
 * picked up as any that are exchanged. Failures are tried again, with an alarm, as long as the certificate lives.
 */
import { X509Certificate } from 'node:crypto'
import { uriNames } from '../pki/alternative-names.ts'
import { createSigningRequest } from '../pki/signing-request.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { tlsErrorText } from '../platform/tls-alert.ts'
import type { TlsWatch } from '../platform/tls-files.ts'
import { renewalUnixMs, retryMs } from './core/renewal-plan.ts'
import { type CredentialFiles, prepareKey, storeCertificate } from './credentials.ts'
import { enrol, type Hub } from './enrolment.ts'
import { take } from './join.ts'
import type { RenewalMetrics } from './renewal-metrics.ts'

/** Longest time between two looks at the clock: milliseconds. */
const LOOK_MS = 60_000

/** Shortest wait, also when a hub gives certificates that are due at once: milliseconds. */
const SOONEST_MS = 1_000

export type RenewalDeps = {
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly tls: TlsWatch
  readonly metrics: RenewalMetrics
}

export function startRenewal(hubs: readonly Hub[], files: CredentialFiles, deps: RenewalDeps): Disposable {
  const { clock, log, random, tls, metrics } = deps
  const over = new AbortController()
  let failures = 0
  let planned = plan()
  let timer: Disposable
  wait()

  function current(): X509Certificate {
    return new X509Certificate(tls.current().cert ?? '')
  }

  function plan(): { readonly cert: string | undefined; readonly atUnixMs: number } {
    const { validFromDate, validToDate } = current()
    const life = { fromUnixMs: validFromDate.getTime(), toUnixMs: validToDate.getTime() }
    return { cert: tls.current().cert, atUnixMs: renewalUnixMs(life, random()) }
  }

  /** In steps: a clock that is set, or a certificate that somebody else exchanges, changes the plan. */
  function wait(ms = Math.min(LOOK_MS, Math.max(SOONEST_MS, planned.atUnixMs - clock.unixMs()))): void {
    timer = clock.after(ms, look)
  }

  function look(): void {
    if (tls.current().cert !== planned.cert) {
      planned = plan()
      failures = 0
      if (clock.unixMs() < planned.atUnixMs) metrics.exchanged()
    }
    if (clock.unixMs() < planned.atUnixMs) return wait()
    void renew()
  }

  async function renew(): Promise<void> {
    const before = current()
    const hub = hubs[Math.floor(random() * hubs.length)]!
    const server = `${hub.host}:${hub.port}`
    try {
      const key = prepareKey(files)
      const request = { kind: 'renew', request: createSigningRequest(key) } as const
      const enrolled = await enrol(hub, request, { material: tls.current(), clock, signal: over.signal })
      const certificate = take(enrolled, key)
      if (!isSameHolder(certificate, before)) {
        throw new TunnelError('forbidden', 'the hub gave a certificate in the name of somebody else')
      }
      storeCertificate(files, enrolled.certificate)
      tls.check()
      failures = 0
      metrics.renewed()
      log.info({ server, end: certificate.validToDate.toISOString() }, 'certificate renewed')
      planned = plan()
      wait()
    } catch (error) {
      if (over.signal.aborted) return
      failures++
      metrics.failed()
      const leftMs = before.validToDate.getTime() - clock.unixMs()
      const reason = tlsErrorText(error as Error)
      log.error(
        { server, reason, failures, seconds_left: Math.floor(leftMs / 1000) },
        leftMs > 0
          ? 'certificate could not be renewed'
          : 'certificate has expired and cannot be renewed: it takes another join token, or another certificate',
      )
      wait(retryMs(failures, leftMs, random()))
    }
  }

  return {
    [Symbol.dispose]() {
      over.abort()
      timer[Symbol.dispose]()
    },
  }
}

/** Of the other names that a certificate may have had a hub gives none again. */
function isSameHolder(one: X509Certificate, other: X509Certificate): boolean {
  const [ours, theirs] = [one, other].map(({ subjectAltName }) => uriNames(subjectAltName ?? ''))
  return ours !== undefined && ours.length > 0 && ours.join() === theirs?.join()
}
