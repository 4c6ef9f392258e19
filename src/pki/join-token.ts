/**
 * Join tokens: what an agent shows once, instead of a certificate, to be given its first one. One line of text:
 *
 *   culvert-join.<id>.<secret>.<SHA-256 of the hub's CA>.<check>
 *
 * The id names the token, which the hub knows by the hash of its secret only; the fingerprint lets the agent know the hub before
 * it says anything; the check is there for those who copy it by hand and protects nothing.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { TunnelError } from '../platform/errors.ts'

export type JoinToken = {
  readonly id: string
  /** Never log it. */
  readonly secret: string
  /** Of the CA's certificate: SHA-256 in lower-case hexadecimal. */
  readonly authority: string
}

const PREFIX = 'culvert-join'
const ID = /^[a-z0-9]{12}$/
const SECRET = /^[A-Za-z0-9_-]{43}$/
const FINGERPRINT = /^[0-9a-f]{64}$/
const CHECK_CHARS = 8

export const isTokenId = (text: string): boolean => ID.test(text)
export const isTokenSecret = (text: string): boolean => SECRET.test(text)

export function createJoinToken(authority: string): JoinToken {
  return { id: randomBytes(6).toString('hex'), secret: randomBytes(32).toString('base64url'), authority }
}

export function writeJoinToken({ id, secret, authority }: JoinToken): string {
  const text = [PREFIX, id, secret, authority].join('.')
  return `${text}.${checkOf(text)}`
}

/** @throws TunnelError `bad-option` that shows nothing of the text */
export function readJoinToken(text: string): JoinToken {
  const [prefix, id = '', secret = '', authority = '', check, ...more] = text.trim().split('.')
  const isWhole = ID.test(id) && SECRET.test(secret) && FINGERPRINT.test(authority) && more.length === 0
  if (prefix !== PREFIX || !isWhole) throw new TunnelError('bad-option', 'is no join token of "culvert token create"')
  if (check !== checkOf([PREFIX, id, secret, authority].join('.'))) {
    throw new TunnelError('bad-option', 'is a join token that was changed or is not whole: copy it again')
  }
  return { id, secret, authority }
}

/** What the hub keeps of a secret. It has 256 random bits, so one round will do. */
export const hashOfSecret = (secret: string): string => createHash('sha256').update(secret).digest('hex')

export const isSecretOf = (secret: string, hash: string): boolean =>
  timingSafeEqual(Buffer.from(hashOfSecret(secret)), Buffer.from(hash.padEnd(64).slice(0, 64)))

/** As a certificate's fingerprint stands in a token. */
export const plainFingerprint = (fingerprint256: string): string => fingerprint256.replaceAll(':', '').toLowerCase()

const checkOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, CHECK_CHARS)
