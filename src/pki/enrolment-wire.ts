/**
 * What an agent and a hub say to each other about certificates, on a connection of its own to the agent port, chosen by ALPN.
 * One JSON object per line, each way; source: docs/protocol.md section 13.
 *
 *   hub:    {"authorities": "<PEM>"}                                  so that the agent can know the hub
 *   agent:  {"join": {"id": …, "secret": …}, "request": "<PEM>"}      or {"renew": true, "request": "<PEM>"}
 *   hub:    {"certificate": "<PEM>"}                                  or {"refused": <code>, "reason": …}
 */
import { Buffer } from 'node:buffer'
import type { Duplex } from 'node:stream'
import { TunnelError } from '../platform/errors.ts'
import { isTokenId, isTokenSecret } from './join-token.ts'

export const ENROLMENT_ALPN = 'culvert-enrol/1'

/** Longest line of an agent, and of a hub, whose bundle of CAs may be long: bytes. */
export const MAX_AGENT_LINE_BYTES = 16_384
export const MAX_HUB_LINE_BYTES = 1_048_576

/** Why a hub gives no certificate. Those that come and go by themselves are worth another try. */
export const REFUSALS = [
  'unknown-token',
  'used-token',
  'expired-token',
  'not-accepted',
  'malformed',
  'busy',
  'failed',
] as const
export type EnrolmentRefusal = (typeof REFUSALS)[number]
export const isWorthRetrying = (why: EnrolmentRefusal): boolean => why === 'busy' || why === 'failed'

export type EnrolmentRequest =
  | { readonly kind: 'join'; readonly id: string; readonly secret: string; readonly request: string }
  | { readonly kind: 'renew'; readonly request: string }
export type EnrolmentAnswer =
  | { readonly kind: 'issued'; readonly certificate: string }
  | { readonly kind: 'refused'; readonly why: EnrolmentRefusal; readonly reason: string }

/** Longest reason that is shown of one that a hub gives: characters. */
const MAX_REASON_CHARS = 300

export function writeRequest(request: EnrolmentRequest): string {
  if (request.kind === 'renew') return line({ renew: true, request: request.request })
  return line({ join: { id: request.id, secret: request.secret }, request: request.request })
}

/** undefined: it is none. */
export function readRequest(text: string): EnrolmentRequest | undefined {
  const { join, renew, request } = readObject(text)
  if (typeof request !== 'string') return undefined
  if (renew === true && join === undefined) return { kind: 'renew', request }
  if (renew !== undefined || typeof join !== 'object' || join === null) return undefined
  const { id, secret } = join as Record<string, unknown>
  if (typeof id !== 'string' || typeof secret !== 'string' || !isTokenId(id) || !isTokenSecret(secret)) return undefined
  return { kind: 'join', id, secret, request }
}

export const writeAuthorities = (authorities: string): string => line({ authorities })

export function readAuthorities(text: string): string | undefined {
  const { authorities } = readObject(text)
  return typeof authorities === 'string' ? authorities : undefined
}

export function writeAnswer(answer: EnrolmentAnswer): string {
  if (answer.kind === 'issued') return line({ certificate: answer.certificate })
  return line({ refused: answer.why, reason: answer.reason })
}

export function readAnswer(text: string): EnrolmentAnswer | undefined {
  const { certificate, refused, reason } = readObject(text)
  if (typeof certificate === 'string') return { kind: 'issued', certificate }
  const why = REFUSALS.find((known) => known === refused)
  if (why === undefined || typeof reason !== 'string') return undefined
  return { kind: 'refused', why, reason: reason.slice(0, MAX_REASON_CHARS).replace(/[\p{Cc}\p{Cf}]/gu, '?') }
}

/**
 * Calls back with each line, without its end. What follows the last line is never looked at.
 *
 * @param failed the stream has sent more than a line may have, or ended in the middle of one
 */
export function readLines(
  stream: Duplex,
  maxBytes: number,
  { line, failed }: { readonly line: (text: string) => void; readonly failed: (error: TunnelError) => void },
): void {
  let held: Buffer = Buffer.alloc(0)
  let over = false
  const fail = (why: string): void => {
    if (over) return
    over = true
    failed(new TunnelError('malformed', why))
  }
  stream.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    for (let end = held.indexOf(0x0a); end >= 0 && end <= maxBytes && !over; end = held.indexOf(0x0a)) {
      const text = held.toString('utf8', 0, end)
      held = held.subarray(end + 1)
      line(text)
    }
    if (held.length > maxBytes) {
      held = Buffer.alloc(0)
      fail(`a line is over the limit of ${maxBytes} bytes`)
    }
  })
  stream.once('end', () => fail('the connection ended before its time'))
}

const line = (value: object): string => `${JSON.stringify(value)}\n`

function readObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
