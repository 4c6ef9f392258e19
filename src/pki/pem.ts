/** Certificates and keys from PEM files. Reads at most `MAX_PEM_BYTES`, also of what is no ordinary file. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { TunnelError } from '../platform/errors.ts'

export const MAX_PEM_BYTES = 1_048_576

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** The certificates of a text, each by itself. */
export const splitCertificates = (pem: string): readonly string[] => pem.match(CERTIFICATE) ?? []

/** @throws TunnelError `bad-option` that names the file and never shows what is in it */
export function readPem(file: string): string {
  const bytes = Buffer.alloc(MAX_PEM_BYTES + 1)
  let length = 0
  try {
    const descriptor = openSync(file, 'r')
    try {
      for (let read = -1; read !== 0 && length < bytes.length; length += read) {
        read = readSync(descriptor, bytes, length, bytes.length - length, null)
      }
    } finally {
      closeSync(descriptor)
    }
  } catch (cause) {
    throw new TunnelError('bad-option', `${file}: cannot be read: ${reason(cause)}`, { cause })
  }
  if (length > MAX_PEM_BYTES) {
    throw new TunnelError('bad-option', `${file}: is over the limit of ${MAX_PEM_BYTES} bytes for a PEM file`)
  }
  return bytes.toString('latin1', 0, length)
}

/**
 * All certificates of a file, at least one, in their order.
 *
 * @throws TunnelError `bad-option`
 */
export function readCertificates(file: string): readonly [X509Certificate, ...X509Certificate[]] {
  const pem = readPem(file)
  const blocks = splitCertificates(pem)
  try {
    const [first, ...more] = blocks.map((block) => new X509Certificate(block))
    if (first !== undefined) return [first, ...more]
  } catch (cause) {
    throw new TunnelError('bad-option', `${file}: holds a certificate that cannot be read`, { cause })
  }
  const found = pem.includes('PRIVATE KEY-----')
    ? 'holds a private key, not a certificate'
    : 'holds no certificate in PEM'
  throw new TunnelError('bad-option', `${file}: ${found}`)
}

/** @throws TunnelError `bad-option` */
export function readPrivateKey(file: string): KeyObject {
  const pem = readPem(file)
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new TunnelError('bad-option', `${file}: holds no unencrypted private key in PEM`, { cause })
  }
}

/** What the operating system said, without the path, which the message has already. */
export function reason(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  return text.replace(/^[A-Z]+: /, '').replace(/, \w+( '.*)?$/s, '')
}
