/** Whose the lines of an agent's audit log are, by the certificates of both ends. */
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { readIdentity } from '../pki/identity.ts'

/**
 * The cluster that the agent's own certificate names, if it names one. Read once for each certificate.
 *
 * @param certificate PEM, as it is now
 */
export function ownCluster(certificate: () => string | undefined): () => string | undefined {
  let known: string | undefined
  let cluster: string | undefined
  return () => {
    const now = certificate()
    if (now === known) return cluster
    known = now
    cluster = now === undefined ? undefined : clusterIn(new X509Certificate(now))
    return cluster
  }
}

function clusterIn({ subjectAltName }: X509Certificate): string | undefined {
  const identity = readIdentity(subjectAltName, undefined)
  return identity.role === 'agent' ? identity.cluster : undefined
}

/** Who asks for connections: the server, as its certificate names it. */
export function serverPrincipal(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate()
  const identity = readIdentity(certificate?.subjectAltName, undefined)
  if (identity.role === 'server') return `server/${identity.id}`
  return certificate?.subject?.replaceAll('\n', ', ')
}
