/**
 * What the server of a link knows of the agent's certificate: the one that the connection was made with and, where it takes
 * others, each that comes while the connection lasts. One that is not taken is shown again.
 */
import type { ClientHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { type BackoffLimits, backoffMs } from '../platform/backoff.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { showNewCertificate } from './new-certificate.ts'

/** Waits before a new certificate that was not taken is shown again. */
const SHOW_AGAIN: BackoffLimits = { baseMs: 2_000, capMs: 300_000 }

export type KnownCertificateDeps = {
  readonly http: ClientHttp2Session
  readonly socket: TLSSocket
  /** What the files hold now. */
  readonly material: () => TlsMaterial
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
}

/** Disposing it shows no more. */
export type KnownCertificate = Disposable & {
  /** The server takes new ones: it is shown the one that there is now, if that has been renewed meanwhile. */
  readonly begin: (log: Log) => void
  /** There may be a new one. */
  readonly renewed: () => void
}

/** @param shown what the connection is made with */
export function createKnownCertificate(
  { http, socket, material, clock, random }: KnownCertificateDeps,
  shown: string | undefined,
): KnownCertificate {
  let known = shown
  let log: Log | undefined // from when the server takes new ones
  let over = false
  let refusals = 0
  let again: Disposable | undefined

  function show(): void {
    const { cert, key } = material()
    if (!log || cert === undefined || key === undefined || cert === known) return
    known = cert
    again?.[Symbol.dispose]()
    showNewCertificate(http, socket, { cert, key }, (problem) => answered(cert, problem))
  }

  function answered(cert: string, problem: string | undefined): void {
    if (problem === undefined) {
      refusals = 0
      log?.debug({}, 'the server knows the new certificate')
      return
    }
    if (over) return
    refusals++
    log?.warn({ reason: problem, refusals }, 'the server does not take the new certificate for this connection')
    if (known !== cert) return // there is a newer one
    // It may not have read yet what it judges by, such as a CA that is new.
    again = clock.after(backoffMs(refusals, SHOW_AGAIN, random()), () => {
      known = undefined
      show()
    })
  }

  return {
    begin(serverLog) {
      log = serverLog
      show()
    },
    renewed: show,
    [Symbol.dispose]() {
      over = true
      again?.[Symbol.dispose]()
    },
  }
}
