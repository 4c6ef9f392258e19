/**
 * Gives agents their certificates, on the agent port: the first one for a join token, each further one for the one before.
 * Who an agent is comes from the token or from the certificate that it shows, never from what it says. Source: docs/protocol.md
 * section 13; loaded only when a flag asks for it, since what signs certificates is slow to load.
 */
import type { KeyObject } from 'node:crypto'
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Audit, AuditRecord } from '../audit/record.ts'
import type { Authority } from '../pki/authority.ts'
import { signingKey } from '../pki/certificate.ts'
import {
  type EnrolmentAnswer,
  type EnrolmentRequest,
  MAX_AGENT_LINE_BYTES,
  readLines,
  readRequest,
  writeAnswer,
  writeAuthorities,
} from '../pki/enrolment-wire.ts'
import { familyOf } from '../pki/family.ts'
import { type Identity, readIdentity, readTrustDomain } from '../pki/identity.ts'
import { issueLeafFor } from '../pki/leaf.ts'
import { splitCertificates } from '../pki/pem.ts'
import { readSigningRequest } from '../pki/signing-request.ts'
import { identityText } from '../pki/summary.ts'
import { findToken, useToken } from '../pki/token-store.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { watchTlsFiles } from '../platform/tls-files.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { tokenBucket } from '../platform/token-bucket.ts'
import { admit, type PeerCertificate } from './core/admission.ts'
import type { EnrolmentMetrics } from './enrolment-metrics.ts'
import type { ServerOptions } from './options.ts'
import { plainAddress, sourceOf } from './source.ts'

/** From the handshake to the end of the request, and as long again for who does not take the answer: milliseconds. */
const TIMEOUT_MS = 10_000
/** Enrolments under way at once, of those who show a good certificate and of the others each; more are hung up on. */
const MAX_AT_ONCE = 200
/** Between two looks at the CA's files: milliseconds. */
const LOOK_MS = 5_000
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
  const { clock, log, metrics, material, knows = () => true } = deps
  const files = {
    cert: { flag: '--enrolment-ca-cert', path: options.enrolmentCaCert },
    key: { flag: '--enrolment-ca-key', path: options.enrolmentCaKey },
  }
  const watch = watchTlsFiles(files, {
    clock,
    intervalMs: LOOK_MS,
    changed(changed) {
      try {
        authority = authorityOf(changed, options, material())
        log.info({}, 'the CA of enrolment changed, new certificates are of it')
      } catch (error) {
        log.error(
          { reason: (error as Error).message },
          'the CA of enrolment cannot be used, the one before stays in use',
        )
      }
    },
    broken: (error) =>
      log.error({ reason: error.message }, 'the CA of enrolment is broken, the one before stays in use'),
    mended: () => log.info({}, 'the CA of enrolment is good again'),
  })
  let authority: Authority
  try {
    authority = authorityOf(watch.current(), options, material())
  } catch (error) {
    watch[Symbol.dispose]()
    throw error
  }
  const joinTurn = tokenBucket(options.enrolmentsPerSecond, 1_000)
  const renewalTurn = tokenBucket(options.enrolmentsPerSecond, 1_000)
  const renewed = new Map<string, number>() // by identity: when, of the last second
  const warnings = createWarnings(log, clock, MAX_WARNED)
  /** Whoever has nothing to show must not be able to take the places of those who renew. */
  const underWay = { known: 0, unknown: 0 }

  async function join({ id, secret, request }: Extract<EnrolmentRequest, { kind: 'join' }>): Promise<EnrolmentAnswer> {
    const folder = options.joinTokens
    if (folder === '') return refused('unknown-token', 'this hub takes no join tokens')
    if (!joinTurn(clock.now())) return BUSY
    const found = findToken(folder, id, secret, clock.unixMs())
    if (found.kind !== 'good') return TOKEN_REFUSALS[found.kind]
    const { cluster, name } = found.token
    if (!knows(cluster)) return unknownCluster(cluster)
    // Made before the token is used up, so that a request that is no good costs no token, and given only if that worked.
    const certificate = await issue({ role: 'agent', cluster, name }, readSigningRequest(request))
    if (!useToken(folder, id)) return TOKEN_REFUSALS.used
    said('join', certificate, { token: id })
    return { kind: 'issued', certificate }
  }

  async function renew(
    request: string,
    peer: PeerCertificate,
    before: X509Certificate | undefined,
  ): Promise<EnrolmentAnswer> {
    const { trustDomain } = authority
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
    const certificate = await issue({ role: 'agent', cluster, name }, readSigningRequest(request), { family })
    said('renewal', certificate, { follows: before.serialNumber.toLowerCase(), family })
    return { kind: 'issued', certificate }
  }

  const issue = (identity: Identity, key: KeyObject, more: { readonly family?: string } = {}): Promise<string> => {
    const { enrolmentLifetimeMs: lifetimeMs } = options
    return issueLeafFor(authority, { identity, lifetimeMs, nowUnixMs: clock.unixMs(), ...more }, key)
  }

  function said(kind: 'join' | 'renewal', pem: string, more: Readonly<Record<string, string>>): void {
    const certificate = new X509Certificate(pem)
    const who = identityText(readIdentity(certificate.subjectAltName, authority.trustDomain))
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
    const whose = peer.present && peer.error === undefined ? 'known' : 'unknown'
    if (underWay[whose] >= MAX_AT_ONCE) {
      metrics.enrolled('none', 'too_many')
      noRequest(socket, 'too many at once')
      return void socket.destroy()
    }
    underWay[whose]++
    let state: 'asking' | 'answering' | 'over' = 'asking'
    let deadline = clock.after(TIMEOUT_MS, () => {
      metrics.enrolled('none', 'slow')
      noRequest(socket, 'no request in time')
      socket.destroy()
    })
    const end = (kind: 'join' | 'renewal' | 'none', answer: EnrolmentAnswer): void => {
      state = 'over'
      const outcome = answer.kind === 'issued' ? 'issued' : answer.why
      metrics.enrolled(kind, outcome)
      deps.audit?.({ event: 'certificate', source: sourceOf(socket), rule: kind, ...decisionOf(answer) })
      if (answer.kind === 'refused') {
        const { remoteAddress: remote } = socket
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
      underWay[whose]--
      deadline[Symbol.dispose]()
    })
    socket.write(writeAuthorities(authoritiesOf(material(), authority)))
    readLines(socket, MAX_AGENT_LINE_BYTES, {
      line(text) {
        if (state !== 'asking') return
        state = 'answering'
        const request = readRequest(text)
        if (!request) return end('none', refused('malformed', 'expected a request to join or to renew'))
        const kind = request.kind === 'join' ? 'join' : 'renewal'
        void answerTo(request, peer, socket.getPeerX509Certificate()).then((answer) => end(kind, answer))
      },
      failed(error) {
        if (state === 'asking') end('none', refused('malformed', error.message))
      },
    })
  }

  return { serve, authority: () => authority.certificatePem, [Symbol.dispose]: watch[Symbol.dispose] }
}

/** Whose the certificate is, or why there is none. */
function decisionOf(answer: EnrolmentAnswer): Omit<AuditRecord, 'event'> {
  if (answer.kind === 'refused') return { verdict: 'refused', reason: answer.reason }
  const identity = readIdentity(new X509Certificate(answer.certificate).subjectAltName, undefined)
  if (identity.role !== 'agent') return { verdict: 'allowed' }
  const { cluster, name } = identity
  return { cluster, principal: `cluster/${cluster}/agent/${name}`, verdict: 'allowed' }
}

/** Also those that the server's own certificate brings along, for an agent that knows the hub by one of them. */
function authoritiesOf({ ca = '', cert = '' }: TlsMaterial, { certificatePem }: Authority): string {
  return [
    ...new Set([...splitCertificates(ca), ...splitCertificates(certificatePem), ...splitCertificates(cert).slice(1)]),
  ].join('\n')
}

function authorityOf({ cert = '', key = '' }: TlsMaterial, options: ServerOptions, agentPort: TlsMaterial): Authority {
  const flag = '--enrolment-ca-cert'
  const [pem = ''] = splitCertificates(cert)
  const certificate = new X509Certificate(pem)
  const problem = (text: string): TunnelError =>
    new TunnelError('bad-option', `${flag}: ${options.enrolmentCaCert} ${text}`)
  if (!certificate.ca) throw problem('is not the certificate of a CA')
  const trusted = splitCertificates(agentPort.ca ?? '').map((one) => new X509Certificate(one).fingerprint256)
  if (!trusted.includes(certificate.fingerprint256)) {
    throw problem('is not in --cluster-ca-cert: nobody with a certificate of it would be let in')
  }
  const named = readTrustDomain(certificate.subjectAltName)
  const trustDomain = named ?? options.trustDomain
  if (trustDomain === '') throw problem('names no trust domain: give it by --trust-domain')
  if (options.trustDomain !== '' && options.trustDomain !== trustDomain) {
    throw problem(`is of the trust domain ${trustDomain}, --trust-domain is ${options.trustDomain}`)
  }
  signingKey(key) // which only a P-256 key can be
  return { trustDomain, certificatePem: certificate.toString(), keyPem: key }
}
