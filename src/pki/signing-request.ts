/**
 * Certificate signing requests (PKCS #10, RFC 2986): a public key and the proof that the sender has its private one. What a
 * request says of its sender is not read: who that is, the hub knows better. ECDSA P-256 only, as all that culvert issues.
 */
import { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { TunnelError } from '../platform/errors.ts'
import { malformed, readSequence, TAG } from './der.ts'

/** Longest request: bytes of PEM. One of ours has some 300. */
export const MAX_REQUEST_BYTES = 8_192

/** `ecdsa-with-SHA256`. */
const ALGORITHM = Buffer.from('300a06082a8648ce3d040302', 'hex')
const PEM = /^\s*-----BEGIN CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----\s*$/
const VERSION = Buffer.from('020100', 'hex')
const NO_NAME = Buffer.from('3000', 'hex')
const NO_ATTRIBUTES = Buffer.from('a000', 'hex')

/** In PEM. @param key a private key on P-256 */
export function createSigningRequest(key: KeyObject): string {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const information = wrap(TAG.sequence, VERSION, NO_NAME, publicKey, NO_ATTRIBUTES)
  const signature = wrap(TAG.bitString, Buffer.of(0), sign('sha256', information, key))
  const lines =
    wrap(TAG.sequence, information, ALGORITHM, signature)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`
}

/**
 * The public key of a request, whose sender has proved to have the private one.
 *
 * @throws TunnelError `malformed`
 */
export function readSigningRequest(pem: string): KeyObject {
  const [, base64] = pem.length > MAX_REQUEST_BYTES ? [] : (PEM.exec(pem) ?? [])
  if (base64 === undefined) throw malformed('it is no certificate request in PEM')
  const [information, algorithm, signature] = readSequence(Buffer.from(base64, 'base64'))
  if (!information || !algorithm || signature?.tag !== TAG.bitString || signature.content[0] !== 0) {
    throw malformed('it is no CertificationRequest')
  }
  const [, , publicKey] = readSequence(information.whole)
  if (!algorithm.whole.equals(ALGORITHM) || !publicKey) throw malformed('it is not signed with ECDSA and SHA-256')
  const key = keyOf(publicKey.whole)
  if (!verify('sha256', information.whole, key, signature.content.subarray(1))) {
    throw malformed('its signature is not of its own key')
  }
  return key
}

function keyOf(spki: Buffer): KeyObject {
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key
  } catch (cause) {
    throw new TunnelError('malformed', 'its public key cannot be read', { cause })
  }
  throw malformed('its key is not on the curve P-256')
}

function wrap(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), content])
}
