/** Why a request to an API server came to nothing, in words for the log. Nothing of a credential is ever in one. */

export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status of the answer; undefined: there was none, or none that could be used. */
  readonly status: number | undefined
  /** Kubernetes' word for it, such as NotFound; empty where it gave none. */
  readonly reason: string
  constructor(message: string, status?: number, reason = '') {
    super(message)
    this.status = status
    this.reason = reason
  }
}

/** What Kubernetes has as reasons: k8s.io/apimachinery v0.36, StatusReason. A closed set, for labels of metrics. */
const REASONS = new Set([
  'Unauthorized',
  'Forbidden',
  'NotFound',
  'AlreadyExists',
  'Conflict',
  'Gone',
  'Invalid',
  'ServerTimeout',
  'StoreReadError',
  'Timeout',
  'TooManyRequests',
  'BadRequest',
  'MethodNotAllowed',
  'NotAcceptable',
  'RequestEntityTooLarge',
  'UnsupportedMediaType',
  'InternalError',
  'Expired',
  'ServiceUnavailable',
])
/** Longest text of an API server that is handed on: characters. */
const MAX_TEXT_CHARS = 300

/** @param body of the answer: a Status where all is well */
export function refusal(what: string, status: number, body: string): ApiError {
  return refusalBy(what, { ...statusOf(body), code: status })
}

/** @param status a Status, as an answer or as the last event of a watch */
export function refusalBy(what: string, { message, reason, code }: Status): ApiError {
  const status = Number.isInteger(code) ? Number(code) : undefined
  const text = typeof message === 'string' && message !== '' ? message.slice(0, MAX_TEXT_CHARS) : 'without a word'
  const known = REASONS.has(String(reason)) ? String(reason) : ''
  const hint = HINTS.get(status) ?? ''
  return new ApiError(`${what}: the API server refused (${status ?? 'no code'}): ${text}${hint}`, status, known)
}

const HINTS: ReadonlyMap<number | undefined, string> = new Map([
  [401, '; check the credentials of --kubeconfig or of the service account'],
  [403, '; docs/kubernetes.md says what has to be granted'],
])

/** @param cause of Node; its text names hosts and codes, never a header */
export function noAnswer(what: string, server: URL, cause: unknown): ApiError {
  const { code, message } = cause as NodeJS.ErrnoException
  const isTls = typeof code === 'string' && /CERT|SIGNATURE|ISSUER|ERR_TLS|ERR_SSL/.test(code)
  const hint = isTls ? '; check the server and the certificate-authority of --kubeconfig' : ''
  return new ApiError(`${what}: no answer from ${server.origin}: ${message}${hint}`)
}

type Status = { readonly message?: unknown; readonly reason?: unknown; readonly code?: unknown }

function statusOf(body: string): Status {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {} // a proxy in between may answer anything
  }
}
