/** What the server of a link knows of the agent's certificate, while the connection lasts. */
import type { ClientHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { createKnownCredential, type KnownCredential, type KnownCredentialDeps } from './known-credential.ts'
import { showNewCertificate } from './new-certificate.ts'

/** A certificate is renewed long before its end. */
const SHOW_AGAIN = { baseMs: 2_000, capMs: 300_000 }

export type KnownCertificateDeps = Pick<KnownCredentialDeps, 'clock' | 'random'> & {
  readonly http: ClientHttp2Session
  readonly socket: TLSSocket
  /** What the files hold now. */
  readonly material: () => TlsMaterial
}

/** @param shown what the connection is made with */
export function createKnownCertificate(
  { http, socket, material, clock, random }: KnownCertificateDeps,
  shown: string | undefined,
): KnownCredential {
  const current: KnownCredentialDeps['current'] = () => {
    const { cert, key } = material()
    if (cert === undefined || key === undefined) return undefined
    return { text: cert, show: (done) => showNewCertificate(http, socket, { cert, key }, done) }
  }
  return createKnownCredential({ what: 'certificate', current, showAgain: SHOW_AGAIN, clock, random }, shown)
}
