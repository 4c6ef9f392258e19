/**
 * Asks a hub for a certificate, over a connection of its own to the agent port. Who joins has no certificate and perhaps no CA:
 * the hub must show that it was certified by the CA whose fingerprint the join token carries before it is told anything.
 * Source: docs/protocol.md section 13.
 */
import { X509Certificate } from 'node:crypto'
import { isIP, type LookupFunction } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import {
  ENROLMENT_ALPN,
  type EnrolmentRefusal,
  type EnrolmentRequest,
  MAX_HUB_LINE_BYTES,
  readAnswer,
  readAuthorities,
  readLines,
  writeRequest,
} from '../pki/enrolment-wire.ts'
import { readIdentity } from '../pki/identity.ts'
import { plainFingerprint } from '../pki/join-token.ts'
import { splitCertificates } from '../pki/pem.ts'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'

/** Of one connection, from the first SYN to what it is for: milliseconds. */
const TIMEOUT_MS = 15_000

export type Hub = {
  readonly host: string
  readonly port: number
  readonly protocol: TlsProtocol
  readonly alpn: readonly string[]
  readonly lookup: LookupFunction
}

export type Enrolled = {
  readonly certificate: string
  /** The CA of the token, for who has none yet. */
  readonly authority: string | undefined
}

export type EnrolDeps = { readonly clock: Clock; readonly signal: AbortSignal }

/** A hub's "no". */
export class EnrolmentRefused extends Error {
  readonly why: EnrolmentRefusal
  constructor(why: EnrolmentRefusal, reason: string) {
    super(reason)
    this.why = why
  }
}

/**
 * Who joins by a CA that it does not have yet asks the hub for it first, over a connection that is told nothing, and comes again.
 * What verifies the hub before it hears of the token is TLS, with the CA of the token and no other.
 *
 * @param material to renew: certificate, key and CA; to join: the CA, if there is one
 * @param pinned of the hub's CA, SHA-256 in lower-case hexadecimal: to join, the hub must have been certified by it
 * @throws EnrolmentRefused when the hub says no; TunnelError for everything else
 */
export async function enrol(
  hub: Hub,
  request: EnrolmentRequest,
  { material, pinned, ...deps }: EnrolDeps & { readonly material: TlsMaterial; readonly pinned?: string | undefined },
): Promise<Enrolled> {
  if (pinned === undefined) return { certificate: await ask(hub, request, material, deps), authority: undefined }
  const authority = pinnedOf(material.ca ?? '', pinned) ?? (await learnAuthority(hub, material, pinned, deps))
  return { certificate: await ask(hub, request, { ca: authority }, deps, notTheHub), authority: `${authority}\n` }
}

/** @param refuse what is said of a hub whose certificate is not good for this one; without it, it need not be one of a token */
async function ask(
  hub: Hub,
  request: EnrolmentRequest,
  material: TlsMaterial,
  deps: EnrolDeps,
  refuse?: (problem: string, cause?: Error) => Error,
): Promise<string> {
  let state: 'waiting' | 'asked' = 'waiting'
  return converse(hub, material, deps, {
    line(text, socket) {
      if (state === 'waiting') {
        authoritiesIn(text)
        // Whoever the CA has certified as somebody else must not be able to collect tokens.
        if (refuse && !isServer(socket)) throw refuse('its certificate is not for servers')
        state = 'asked'
        socket.write(writeRequest(request))
        return undefined
      }
      const answer = readAnswer(text)
      if (!answer) throw new TunnelError('malformed', 'the answer of the hub cannot be read')
      if (answer.kind === 'refused') throw new EnrolmentRefused(answer.why, answer.reason)
      return answer.certificate
    },
    unverified: (error) => refuse?.(problemOf(error), error) ?? error,
  })
}

/** The CA of the fingerprint, in PEM. */
function learnAuthority(hub: Hub, { ca }: TlsMaterial, pinned: string, deps: EnrolDeps): Promise<string> {
  return converse(hub, ca === undefined ? {} : { ca }, deps, {
    line(text) {
      const pem = pinnedOf(authoritiesIn(text), pinned)
      if (pem === undefined) throw notTheHub('its CA has another fingerprint')
      return pem
    },
    unverified: (error) => error,
  })
}

type Talk = {
  /** Each line of the hub. @returns the end of the talk, undefined to go on. @throws what it fails with */
  readonly line: (text: string, socket: TLSSocket) => string | undefined
  /** TLS has found the hub's certificate to be no good. */
  readonly unverified: (error: NodeJS.ErrnoException) => Error
}

/** Without a CA nobody is verified: for those who say nothing. */
function converse(hub: Hub, material: TlsMaterial, { clock, signal }: EnrolDeps, talk: Talk): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect({
    host: hub.host,
    port: hub.port,
    lookup: hub.lookup,
    ...material,
    ...hub.protocol,
    ALPNProtocols: [...hub.alpn, ENROLMENT_ALPN, 'h2'], // a front door that knows agents by h2 routes this alike
    rejectUnauthorized: material.ca !== undefined,
    ...(isIP(hub.host) === 0 && { servername: hub.host }),
  })
  const fail = (error: Error): void => {
    reject(error)
    socket.destroy()
  }
  const timeout = clock.after(TIMEOUT_MS, () =>
    fail(new TunnelError('dial-timeout', `no certificate within ${TIMEOUT_MS} ms`)),
  )
  const aborted = (): void => fail(new TunnelError('reset', 'the program ends'))
  signal.addEventListener('abort', aborted, { once: true })

  function heard(text: string): void {
    try {
      const outcome = talk.line(text, socket)
      if (outcome === undefined) return
      resolve(outcome)
      socket.destroy()
    } catch (error) {
      fail(error as Error)
    }
  }

  socket.once('secureConnect', () => {
    if (socket.alpnProtocol !== ENROLMENT_ALPN) return fail(givesNone())
    readLines(socket, MAX_HUB_LINE_BYTES, { line: heard, failed: fail })
  })
  socket.on('error', (error: NodeJS.ErrnoException) =>
    fail(socket.authorizationError ? talk.unverified(error) : nameError(error)),
  )
  socket.once('close', () => {
    fail(new TunnelError('reset', 'the hub hung up'))
    timeout[Symbol.dispose]()
    signal.removeEventListener('abort', aborted)
  })
  return promise
}

function authoritiesIn(text: string): string {
  const authorities = readAuthorities(text)
  if (authorities !== undefined) return authorities
  throw new TunnelError('malformed', 'what answers there speaks another language')
}

const pinnedOf = (authorities: string, pinned: string): string | undefined =>
  splitCertificates(authorities).find((pem) => fingerprintOf(pem) === pinned)

function fingerprintOf(pem: string): string | undefined {
  try {
    return plainFingerprint(new X509Certificate(pem).fingerprint256)
  } catch {
    return undefined
  }
}

function isServer(socket: TLSSocket): boolean {
  const { role } = readIdentity(socket.getPeerX509Certificate()?.subjectAltName, undefined)
  return role === 'none' || role === 'server'
}

const notTheHub = (problem: string, cause?: Error): TunnelError =>
  new TunnelError('forbidden', `the hub is not the one of the join token: ${problem}`, { cause })

/** Of a chain that does not end in the CA, in OpenSSL's words. */
const FOREIGN = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
]

const problemOf = ({ code = '', message }: NodeJS.ErrnoException): string =>
  FOREIGN.includes(code)
    ? 'its certificate was not issued by the CA of that fingerprint'
    : `its certificate is no good: ${message}`

/** TLS's word for a server that knows none of the protocols that were offered. */
function nameError(error: NodeJS.ErrnoException): Error {
  return error.code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' ? givesNone(error) : error
}

const givesNone = (cause?: Error): TunnelError =>
  new TunnelError('forbidden', 'the server gives no certificates: it needs --enrolment-ca-cert', { cause })
