/** What the certificates of a CA and of a leaf have in common: a fresh P-256 key, a validity and a signature. */
import { createPrivateKey, KeyObject, webcrypto } from 'node:crypto'
import type { Extension, Name } from '@peculiar/x509'
import { TunnelError } from '../platform/errors.ts'
import { CLOCK_SKEW_MS, isLifetime, LIFETIME_EXPECTED } from './lifetime.ts'
import { x509 } from './x509.ts'

/** PEM, the key in PKCS#8. Never log the key. */
export type CertificateAndKey = { readonly certificatePem: string; readonly keyPem: string }

export type Subject = { readonly commonName?: string | undefined; readonly organization: string }

export type Validity = { readonly notBefore: Date; readonly notAfter: Date }

export const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

export function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
}

/** @throws TunnelError `bad-option` when the key is not one that can sign for us */
export function signingKey(keyPem: string): webcrypto.CryptoKey {
  try {
    return createPrivateKey(keyPem).toCryptoKey(P256, false, ['sign'])
  } catch (cause) {
    throw new TunnelError('bad-option', 'the key of the CA is not an unencrypted ECDSA P-256 key in PEM', { cause })
  }
}

/** @throws TunnelError `bad-option` when the lifetime is out of range */
export function validity(nowUnixMs: number, lifetimeMs: number): Validity {
  if (!isLifetime(lifetimeMs))
    throw new TunnelError('bad-option', `expected ${LIFETIME_EXPECTED}, got ${lifetimeMs} ms`)
  return { notBefore: new Date(nowUnixMs - CLOCK_SKEW_MS), notAfter: new Date(nowUnixMs + lifetimeMs) }
}

/** The library would take a text that begins with "#" for hexadecimal, so the kind of string is named. */
export function distinguishedName(subject: Subject): Name {
  const parts = { O: subject.organization, CN: subject.commonName }
  return new x509.Name(
    Object.entries(parts).flatMap(([key, text]) => (text === undefined ? [] : [{ [key]: [{ utf8String: text }] }])),
  )
}

/**
 * Makes the certificate of a public key with a random serial number of 128 bits, in PEM.
 *
 * @param issuer the CA's own name, byte for byte as in its certificate: Go compares the bytes
 */
export async function certify(
  certificate: Validity & { readonly subject: Name; readonly extensions: readonly Extension[] },
  publicKey: webcrypto.CryptoKey,
  issuer: Name,
  issuerKey: webcrypto.CryptoKey,
): Promise<string> {
  const signed = await x509.X509CertificateGenerator.create({
    ...certificate,
    extensions: [...certificate.extensions],
    publicKey,
    issuer,
    signingKey: issuerKey,
    signingAlgorithm: P256,
  })
  return `${signed.toString('pem')}\n`
}

/** The same with the key beside it. */
export async function sign(
  certificate: Parameters<typeof certify>[0],
  keys: webcrypto.CryptoKeyPair,
  issuer: Name,
  issuerKey: webcrypto.CryptoKey,
): Promise<CertificateAndKey> {
  const certificatePem = await certify(certificate, keys.publicKey, issuer, issuerKey)
  const keyPem = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString()
  return { certificatePem, keyPem }
}
