/**
 * An agent that has renewed its certificate shows the new one on the connection that it has, which then lives as long as that:
 * `POST` to this path on its HTTP/2 connection, the certificates and the proof as JSON. Source: docs/protocol.md section 13.
 */
import { X509Certificate } from 'node:crypto'
import { MAX_CHAIN_LENGTH } from './chain.ts'
import { splitCertificates } from './pem.ts'

export const NEW_CERTIFICATE_PATH = '/culvert/NewCertificate'
/** Longest body: bytes. Room for a leaf and the intermediates above it. */
export const MAX_NEW_CERTIFICATE_BYTES = 65_536

export type NewCertificate = {
  readonly leaf: X509Certificate
  /** What the agent brought along: intermediates. */
  readonly brought: readonly X509Certificate[]
  readonly proof: Buffer
}

export const writeNewCertificate = (pem: string, proof: Buffer): string =>
  JSON.stringify({ certificate: pem, proof: proof.toString('base64') })

/** undefined: it is none. */
export function readNewCertificate(body: string): NewCertificate | undefined {
  try {
    const { certificate, proof } = JSON.parse(body)
    const pems = splitCertificates(String(certificate))
    if (pems.length > 1 + MAX_CHAIN_LENGTH) return undefined
    const [leaf, ...brought] = pems.map((pem) => new X509Certificate(pem))
    return leaf && { leaf, brought, proof: Buffer.from(String(proof), 'base64') }
  } catch {
    return undefined
  }
}
