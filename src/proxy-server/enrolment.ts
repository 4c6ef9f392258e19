/**
 * Gives agents their certificates, on the agent port: the first one for a join token, each further one for the one before.
 * Who an agent is comes from the token or from the certificate that it shows, never from what it says. Source: docs/protocol.md
 * section 13; loaded only when a flag asks for it, since what signs certificates is slow to load.
 */
import { createHash, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Audit, AuditRecord } from '../audit/record.ts'
import {
  type EnrolmentAnswer,
  type EnrolmentRequest,
  MAX_AGENT_LINE_BYTES,
  readLines,
  readRequest,
  writeAnswer,
} from '../pki/enrolment-wire.ts'
import { familyOf } from '../pki/family.ts'
import { readIdentity } from '../pki/identity.ts'
import { readSigningRequest } from '../pki/signing-request.ts'
import { identityText } from '../pki/summary.ts'
import { type Found, findToken, useToken } from '../pki/token-store.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { tokenBucket } from '../platform/token-bucket.ts'
import { admit, type PeerCertificate } from './core/admission.ts'
import { openIssuer } from './enrolment-issuer.ts'
import type { EnrolmentMetrics } from './enrolment-metrics.ts'
import { createPlaces } from './enrolment-places.ts'
import type { ServerOptions } from './options.ts'
import { plainAddress, sourceOf } from './source.ts'

/** From the handshake to the end of the request, and as long again for who does not take the answer: milliseconds. */
const TIMEOUT_MS = 10_000
/** Enrolments under way at once, of those who show a good certificate and of the others each: `enrolment-places.ts`. */
const MAX_AT_ONCE = 200
const MAX_WARNED = 1_000
/** One identity renews once in this time at most, so that it cannot take the turns of the others: milliseconds. */
const RENEWAL_INTERVAL_MS = 1_000

export type Enrolment = Disposable & {
  /** Takes a connection over that was made for this. */
  readonly serve: (socket: TLSSocket, peer: PeerCertificate) => void
  /** The certificate of the CA that issues. */
  readonly authority: () => string
}

export type EnrolmentDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: EnrolmentMetrics
  /** Of the agent port: what agents are to know the hub by, and must have been issued by. */
  readonly material: () => TlsMaterial
  readonly audit?: Audit | undefined
  /** For those of whom there may be any number. */
  readonly auditOften?: Audit | undefined
  /** Whether a cluster is one of this hub; none: it does not say which are. */
  readonly knows?: ((cluster: string) => boolean) | undefined
}

type JoinRequest = Extract<EnrolmentRequest, { kind: 'join' }>
type Refused = Extract<EnrolmentAnswer, { kind: 'refused' }>
const refused = (why: Refused['why'], reason: string): Refused => ({ kind: 'refused', why, reason })

const TOKEN_REFUSALS = {
  unknown: refused('unknown-token', 'the join token is not one of this hub, or was revoked'),
  used: refused('used-token', 'the join token has been used before: each lets one agent in, once'),
  expired: refused('expired-token', 'the join token has expired: make a new one'),
} as const
const unknownCluster = (cluster: string): Refused =>
  refused('not-accepted', `the cluster ${cluster} is not one of this hub`)
const BUSY = refused('busy', 'too many ask for certificates at once: try again later')

/** @throws TunnelError `bad-option` with every mistake in the files, one per line */
export function openEnrolment(options: ServerOptions, deps: EnrolmentDeps): Enrolment {
  const { clock, log, metrics, knows = () => true } = deps
  const issuer = openIssuer(options, deps)
  const joinTurn = tokenBucket(options.enrolmentsPerSecond, 1_000)
  const renewalTurn = tokenBucket(options.enrolmentsPerSecond, 1_000)
  const renewed = new Map<string, number>() // by identity: when, of the last second
  const warnings = createWarnings(log, clock, MAX_WARNED)
  /** Whoever has nothing to show must not be able to take the places of those who renew. */
  const places = { known: createPlaces(MAX_AT_ONCE), unknown: createPlaces(MAX_AT_ONCE) }

  async function join(asked: JoinRequest): Promise<EnrolmentAnswer> {
    const { id, secret } = asked
    if (options.joinTokens === '') return refused('unknown-token', 'this hub takes no join tokens')
    const find = (): Found => findToken(options.joinTokens, id, secret, clock.unixMs())
    const found = find()
    if (found.kind === 'unknown' || found.kind === 'expired') return TOKEN_REFUSALS[found.kind]
    if (!joinTurn(clock.now())) return BUSY // not before: whoever makes tokens up would take the turns of those who have one
    // Whoever was quicker may have been the same agent, which asks twice at once: by another hub, or as the first answer was long in coming.
    return (await joinBy(asked, found)) ?? (await joinBy(asked, find())) ?? TOKEN_REFUSALS.used
  }

  /** @returns undefined when somebody else has used the token meanwhile */
  async function joinBy({ id, request }: JoinRequest, found: Found): Promise<EnrolmentAnswer | undefined> {
    if (found.kind === 'unknown' || found.kind === 'expired') return TOKEN_REFUSALS[found.kind]
    const publicKey = readSigningRequest(request)
    const key = createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex')
    const before = found.kind === 'used' ? found.by : undefined // who has not had its answer asks again with the same key
    if (found.kind === 'used' && before?.key !== key) return TOKEN_REFUSALS.used
    const { cluster, name } = found.token
    if (!knows(cluster)) return unknownCluster(cluster)
    // Made before the token is used up, so that a request that is no good costs no token, and given only if that worked.
    const more = before ? { family: before.family } : {}
    const certificate = await issuer.issue({ role: 'agent', cluster, name }, publicKey, more)
    const family = familyOf(new X509Certificate(certificate))
    if (!before && !useToken(options.joinTokens, id, { key, family, usedUnixMs: clock.unixMs() })) return undefined
    said('join', certificate, { token_id: id, ...more })
    return { kind: 'issued', certificate }
  }

  async function renew(
    request: string,
    peer: PeerCertificate,
    before: X509Certificate | undefined,
  ): Promise<EnrolmentAnswer> {
    const { trustDomain } = issuer.authority()
    const admission = admit({ ...peer, required: true }, ['agent'], trustDomain)
    if (admission.kind === 'refused') {
      return refused('not-accepted', `client certificate not accepted: ${admission.cause}`)
    }
    const identity = readIdentity(peer.subjectAltName, trustDomain)
    if (identity.role !== 'agent' || !before) {
      return refused('not-accepted', `the certificate names no agent of the trust domain ${trustDomain}`)
    }
    if (!knows(identity.cluster)) return unknownCluster(identity.cluster)
    const nowMs = clock.now()
    for (const [who, ms] of renewed) {
      if (ms + RENEWAL_INTERVAL_MS > nowMs) break
      renewed.delete(who)
    }
    if (renewed.has(admission.principal) || !renewalTurn(nowMs)) return BUSY
    renewed.set(admission.principal, nowMs)
    const { cluster, name } = identity
    const family = familyOf(before)
    const certificate = await issuer.issue({ role: 'agent', cluster, name }, readSigningRequest(request), { family })
    said('renewal', certificate, { follows: before.serialNumber.toLowerCase(), family })
    return { kind: 'issued', certificate }
  }

  function said(kind: 'join' | 'renewal', pem: string, more: Readonly<Record<string, string>>): void {
    const certificate = new X509Certificate(pem)
    const who = identityText(readIdentity(certificate.subjectAltName, issuer.authority().trustDomain))
    const serial = certificate.serialNumber.toLowerCase()
    log.info({ kind, who, serial, end: certificate.validToDate.toISOString(), ...more }, 'certificate issued')
  }

  async function answerTo(
    request: EnrolmentRequest,
    peer: PeerCertificate,
    before: X509Certificate | undefined,
  ): Promise<EnrolmentAnswer> {
    try {
      return await (request.kind === 'join' ? join(request) : renew(request.request, peer, before))
    } catch (error) {
      if (error instanceof TunnelError && error.code === 'malformed')
        return refused('malformed', `the certificate request is no good: ${error.message}`)
      log.error({ kind: request.kind, reason: (error as Error).message }, 'a certificate could not be issued')
      return refused('failed', 'the hub could not issue a certificate: its log says why')
    }
  }

  function noRequest({ remoteAddress }: TLSSocket, reason: string): void {
    const source = plainAddress(remoteAddress)
    deps.auditOften?.({ event: 'certificate', source, rule: 'none', verdict: 'refused', reason })
  }

  function serve(socket: TLSSocket, peer: PeerCertificate): void {
    let state: 'silent' | 'asking' | 'answering' | 'over' = 'silent'
    const hangUp = (why: 'too_many' | 'slow'): void => {
      if (state !== 'over') {
        metrics.enrolled('none', why)
        noRequest(socket, why === 'slow' ? 'no request in time' : 'too many at once')
      }
      state = 'over'
      socket.destroy()
    }
    const place = places[peer.present && peer.error === undefined ? 'known' : 'unknown'].take({
      address: socket.remoteAddress ?? '',
      isBeingAnswered: () => state === 'answering',
      turnedOut: () => hangUp('too_many'),
    })
    if (!place) return hangUp('too_many')
    let deadline = clock.after(TIMEOUT_MS, () => hangUp('slow'))
    const end = (kind: 'join' | 'renewal' | 'none', answer: EnrolmentAnswer, token?: string): void => {
      state = 'over'
      const outcome = answer.kind === 'issued' ? 'issued' : answer.why
      metrics.enrolled(kind, outcome)
      const line = { event: 'certificate', rule: kind, ...decisionOf(answer, token) } as const
      if (answer.kind === 'issued') deps.audit?.({ ...line, source: sourceOf(socket) })
      else {
        const { remoteAddress: remote } = socket
        deps.auditOften?.({ ...line, source: plainAddress(remote) }) // nobody needs a credential to be refused
        warnings.warn(
          `${answer.why} ${remote}`,
          { kind, why: answer.why, reason: answer.reason, remote },
          'enrolment refused',
        )
      }
      socket.end(writeAnswer(answer))
      deadline[Symbol.dispose]()
      deadline = clock.after(TIMEOUT_MS, () => socket.destroy())
    }
    socket.once('close', () => {
      if (state === 'silent') metrics.enrolled('none', 'left') // who joins looks at the CAs first, and comes again
      place[Symbol.dispose]()
      deadline[Symbol.dispose]()
    })
    socket.write(issuer.hello())
    socket.once('data', () => {
      if (state === 'silent') state = 'asking'
    })
    readLines(socket, MAX_AGENT_LINE_BYTES, {
      line(text) {
        if (state !== 'asking') return
        state = 'answering'
        const request = readRequest(text)
        if (!request) return end('none', refused('malformed', 'expected a request to join or to renew'))
        const kind = request.kind === 'join' ? 'join' : 'renewal'
        const token = request.kind === 'join' ? request.id : undefined
        void answerTo(request, peer, socket.getPeerX509Certificate()).then((answer) => end(kind, answer, token))
      },
      failed(error) {
        if (state === 'silent') socket.destroy()
        if (state === 'asking') end('none', refused('malformed', error.message))
      },
    })
  }

  return {
    serve,
    authority: () => issuer.authority().certificatePem,
    [Symbol.dispose]: issuer[Symbol.dispose],
  }
}

/** Whose the certificate is and what to revoke it by, or why there is none. @param token the id of the one that was shown */
function decisionOf(answer: EnrolmentAnswer, token: string | undefined): Omit<AuditRecord, 'event'> {
  if (answer.kind === 'refused') return { verdict: 'refused', reason: answer.reason }
  const certificate = new X509Certificate(answer.certificate)
  const family = familyOf(certificate).replace(/^00/, '') // which is there for the sign; a serial number is written without
  const serial = `serial ${certificate.serialNumber.toLowerCase()}, family ${family}`
  const decision = { verdict: 'allowed', reason: token === undefined ? serial : `${serial}, token ${token}` } as const
  const identity = readIdentity(certificate.subjectAltName, undefined)
  if (identity.role !== 'agent') return decision
  const { cluster, name } = identity
  return { ...decision, cluster, principal: `cluster/${cluster}/agent/${name}` }
}
