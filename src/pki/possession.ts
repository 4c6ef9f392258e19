/**
 * Proof that who is at the other end of a TLS connection has the key of a certificate that this connection was not made with: a
 * signature over what only the two ends of this very connection know (RFC 5705), so that it is worth nothing anywhere else.
 */
import { createHash, type KeyObject, sign, verify, type X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

const LABEL = 'EXPORTER-culvert-new-certificate'
const BYTES = 32

export function provePossession(socket: TLSSocket, leaf: X509Certificate, key: KeyObject): Buffer {
  return sign(hashFor(key), statement(socket, leaf), key)
}

export function provesPossession(socket: TLSSocket, leaf: X509Certificate, proof: Buffer): boolean {
  try {
    const { publicKey } = leaf // which throws for a key that OpenSSL cannot decode: nobody has signed this leaf yet
    return verify(hashFor(publicKey), statement(socket, leaf), publicKey, proof)
  } catch {
    return false
  }
}

const statement = (socket: TLSSocket, leaf: X509Certificate): Buffer =>
  socket.exportKeyingMaterial(BYTES, LABEL, createHash('sha256').update(leaf.raw).digest())

/** The Edwards curves have a hash of their own. */
const hashFor = ({ asymmetricKeyType }: KeyObject): string | undefined =>
  asymmetricKeyType === 'ed25519' || asymmetricKeyType === 'ed448' ? undefined : 'sha256'
