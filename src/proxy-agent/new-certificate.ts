/** Shows a server the agent's new certificate on the connection that was made with the one before. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { NEW_CERTIFICATE_PATH, writeNewCertificate } from '../pki/new-certificate.ts'
import { provePossession } from '../pki/possession.ts'
import { showOver } from './new-credential.ts'

/** @param done with what the server has against it, if anything */
export function showNewCertificate(
  http: ClientHttp2Session,
  socket: TLSSocket,
  { cert, key }: { readonly cert: string; readonly key: string },
  done: (problem: string | undefined) => void,
): void {
  if (http.destroyed || http.closed) return
  if (socket.destroyed) return // there is nothing left to prove it by; HTTP/2 will notice
  const proof = proofOf(socket, cert, key)
  if (!proof) return
  const headers = { ':path': NEW_CERTIFICATE_PATH, 'content-type': 'application/json' }
  showOver(http, headers, writeNewCertificate(cert, proof), done)
}

/** A connection that is just going may have no TLS left to prove anything by, and not know it yet. */
function proofOf(socket: TLSSocket, cert: string, key: string): Buffer | undefined {
  try {
    return provePossession(socket, new X509Certificate(cert), createPrivateKey(key))
  } catch {
    return undefined
  }
}
