/**
 * Asks a hub for a certificate, over a connection of its own to the agent port. Who joins has no certificate and perhaps no CA:
 * the hub must show that it was certified by the CA whose fingerprint the join token carries before it is told anything.
 * Source: docs/protocol.md section 13.
 */
import { X509Certificate } from 'node:crypto'
import { isIP, type LookupFunction } from 'node:net'
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls'
import { chainTo } from '../pki/chain.ts'
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
import { USAGES } from '../pki/usage.ts'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'

/** From the first SYN to the certificate: milliseconds. */
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

/** A hub's "no". */
export class EnrolmentRefused extends Error {
  readonly why: EnrolmentRefusal
  constructor(why: EnrolmentRefusal, reason: string) {
    super(reason)
    this.why = why
  }
}

/**
 * @param material to renew: certificate, key and CA; to join: the CA, if there is one
 * @param pinned of the hub's CA, SHA-256 in lower-case hexadecimal: to join, the hub must have been certified by it
 * @throws EnrolmentRefused when the hub says no; TunnelError for everything else
 */
export function enrol(
  hub: Hub,
  request: EnrolmentRequest,
  {
    material,
    pinned,
    clock,
    signal,
  }: {
    readonly material: TlsMaterial
    readonly pinned?: string | undefined
    readonly clock: Clock
    readonly signal: AbortSignal
  },
): Promise<Enrolled> {
  const { promise, resolve, reject } = Promise.withResolvers<Enrolled>()
  const socket = connect({
    host: hub.host,
    port: hub.port,
    lookup: hub.lookup,
    ...material,
    ...hub.protocol,
    ALPNProtocols: [...hub.alpn, ENROLMENT_ALPN, 'h2'], // a front door that knows agents by h2 routes this alike
    // Without a CA of its own an agent that joins looks at the hub's certificate by itself, below.
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
  let authority: string | undefined
  let state: 'waiting' | 'asked' = 'waiting'

  function hello(text: string): void {
    const authorities = readAuthorities(text)
    if (authorities === undefined)
      return fail(new TunnelError('malformed', 'what answers there speaks another language'))
    if (pinned !== undefined) {
      const checked = checkHub(socket, hub.host, authorities, pinned, clock.unixMs())
      if ('problem' in checked) {
        return fail(new TunnelError('forbidden', `the hub is not the one of the join token: ${checked.problem}`))
      }
      authority = checked.authority
    }
    state = 'asked'
    socket.write(writeRequest(request))
  }

  function answered(text: string): void {
    const answer = readAnswer(text)
    if (!answer) return fail(new TunnelError('malformed', 'the answer of the hub cannot be read'))
    if (answer.kind === 'refused') return fail(new EnrolmentRefused(answer.why, answer.reason))
    resolve({ certificate: answer.certificate, authority })
    socket.destroy()
  }

  socket.once('secureConnect', () => {
    if (socket.alpnProtocol !== ENROLMENT_ALPN) return fail(givesNone())
    readLines(socket, MAX_HUB_LINE_BYTES, {
      line: (text) => (state === 'waiting' ? hello(text) : answered(text)),
      failed: fail,
    })
  })
  socket.on('error', (error) => fail(nameError(error)))
  socket.once('close', () => {
    fail(new TunnelError('reset', 'the hub hung up'))
    timeout[Symbol.dispose]()
    signal.removeEventListener('abort', aborted)
  })
  return promise
}

/** Whether the hub's certificate is one of the pinned CA, in time, for this host, and for a server. */
function checkHub(
  socket: TLSSocket,
  host: string,
  authorities: string,
  pinned: string,
  nowUnixMs: number,
): { readonly authority: string } | { readonly problem: string } {
  const leaf = socket.getPeerX509Certificate()
  if (!leaf) return { problem: 'it shows no certificate' }
  const pem = splitCertificates(authorities).find((one) => fingerprintOf(one) === pinned)
  if (pem === undefined) return { problem: 'its CA has another fingerprint' }
  const chain = chainTo(leaf, [new X509Certificate(pem)])
  if (!chain) return { problem: 'its certificate was not issued by the CA of that fingerprint' }
  const late = chain.find(({ validFromDate, validToDate }) => !isWithin(validFromDate, validToDate, nowUnixMs))
  if (late) return { problem: `a certificate of it is valid from ${late.validFrom} to ${late.validTo} only` }
  const misnamed = checkServerIdentity(host, socket.getPeerCertificate())
  if (misnamed) return { problem: misnamed.message }
  const { role } = readIdentity(leaf.subjectAltName, undefined)
  const serves = leaf.keyUsage === undefined || leaf.keyUsage.includes(USAGES.serve.oid)
  // Whoever the CA has certified as somebody else must not be able to collect tokens.
  if (!serves || (role !== 'none' && role !== 'server')) return { problem: 'its certificate is not for servers' }
  return { authority: `${pem}\n` }
}

function fingerprintOf(pem: string): string | undefined {
  try {
    return plainFingerprint(new X509Certificate(pem).fingerprint256)
  } catch {
    return undefined
  }
}

const isWithin = (from: Date, to: Date, unixMs: number): boolean => from.getTime() <= unixMs && unixMs <= to.getTime()

/** TLS's word for a server that knows none of the protocols that were offered. */
function nameError(error: NodeJS.ErrnoException): Error {
  return error.code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' ? givesNone(error) : error
}

const givesNone = (cause?: Error): TunnelError =>
  new TunnelError('forbidden', 'the server gives no certificates: it needs --enrolment-ca-cert', { cause })
