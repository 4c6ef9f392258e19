/**
 * What the token of an agent must be: found in its metadata, and judged by what the API server says of it. Pure. The texts
 * are konnectivity's; that the audience is compared is ours. Source: authentication.k8s.io/v1, TokenReview.
 */
import { Buffer } from 'node:buffer'

export type ExpectedAgent = {
  /** Empty: any; whoever asks looks at the name. */
  readonly namespace: string
  /** Empty: any. */
  readonly serviceAccount: string
  /** Empty: whatever audience the API server itself has. */
  readonly audience: string
}
export type Judgement =
  | { readonly kind: 'known'; readonly username: string }
  | { readonly kind: 'refused'; readonly text: string }

/** Why a token that was good is so no longer. */
export type TokenLoss = 'revoked' | 'expired' | 'untrusted'

const PREFIX = 'Bearer '

/** @param values of `authorization`, all that came */
export function bearerToken(values: readonly string[]): { readonly token: string } | { readonly text: string } {
  const [value] = values
  if (value === undefined) return { text: 'Authentication context was not found in metadata' }
  if (values.length > 1) return { text: `too many (${values.length}) tokens are received` }
  if (!value.startsWith(PREFIX)) return { text: `received token does not have "${PREFIX}" prefix` }
  const token = value.slice(PREFIX.length)
  return token === '' ? { text: 'received token is empty' } : { token }
}

export function tokenReview(token: string, { audience }: ExpectedAgent): object {
  return {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, ...(audience !== '' && { audiences: [audience] }) },
  }
}

/** Whether the answer is a TokenReview that was answered: of what is none nothing can be said. */
export const isReview = (answer: unknown): boolean => {
  const { status } = (answer ?? {}) as { status?: unknown }
  return typeof status === 'object' && status !== null
}

/** When a token is over by itself, as a JWT says; undefined: it does not say so. Nothing is verified here. */
export function tokenEndUnixMs(token: string): number | undefined {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}

/** @param answer the TokenReview that came back */
export function judge(answer: unknown, expected: ExpectedAgent): Judgement {
  const { status } = (answer ?? {}) as { status?: ReviewStatus }
  if (status?.error) return refused(`lookup failed: ${String(status.error).slice(0, MAX_TEXT_CHARS)}`)
  if (status?.authenticated !== true) return refused('lookup failed: service account jwt not valid')
  const username = String(status.user?.username)
  const parts = username.split(':')
  if (parts.length !== 4) return refused('lookup failed: unexpected username format')
  const [system, kind, namespace = '', serviceAccount = ''] = parts
  if (system !== 'system' || kind !== 'serviceaccount') {
    return refused('lookup failed: username returned is not a service account')
  }
  if (expected.namespace !== '' && namespace !== expected.namespace) {
    return refused(
      `lookup failed: incoming request from ${quoted(namespace)} namespace. Expected ${quoted(expected.namespace)}`,
    )
  }
  if (expected.serviceAccount !== '' && serviceAccount !== expected.serviceAccount) {
    return refused(
      `lookup failed: incoming request from ${quoted(serviceAccount)} service account. Expected ${quoted(expected.serviceAccount)}`,
    )
  }
  // An API server that does not know audiences answers without any: it has not compared them.
  const audiences = Array.isArray(status.audiences) ? status.audiences : []
  if (expected.audience !== '' && !audiences.includes(expected.audience)) {
    return refused(`lookup failed: token is not for the audience ${quoted(expected.audience)}`)
  }
  return { kind: 'known', username }
}

type ReviewStatus = {
  readonly authenticated?: unknown
  readonly error?: unknown
  readonly audiences?: unknown
  readonly user?: { readonly username?: unknown }
}

/** Longest text of the API server that is handed on: characters. */
const MAX_TEXT_CHARS = 300

const refused = (text: string): Judgement => ({ kind: 'refused', text })
const quoted = (text: string): string => JSON.stringify(text)
