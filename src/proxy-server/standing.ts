/**
 * Whose certificate is still good, of all who are connected to a port: asked at each handshake, and again of everybody who is
 * there when a certificate expires, a revocation list changes, or a CA is taken out of the bundle. Who is no longer good
 * loses the connection, and with it all that it carries, within a second of that being known.
 */
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Audit } from '../audit/record.ts'
import { chainTo } from '../pki/chain.ts'
import { readIdentity } from '../pki/identity.ts'
import { splitCertificates } from '../pki/pem.ts'
import type { Revocations } from '../pki/revocations.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { principalOf } from './core/admission.ts'
import type { CutOffCause, Port, ServerMetrics } from './metrics.ts'
import { sourceOf } from './source.ts'

/** Between two looks for certificates that have expired: milliseconds. */
const LOOK_MS = 1_000

/** Certificates that one may have followed and that are still good; who renews as it should has two. */
const MAX_FOLLOWED = 8

/** Certificates that cannot be read, of which is warned once in a while. */
const MAX_WARNED = 100

/** In the words that OpenSSL has for it. */
const CODES: Readonly<Record<CutOffCause, string>> = {
  revoked: 'CERT_REVOKED',
  expired: 'CERT_HAS_EXPIRED',
  untrusted: 'UNABLE_TO_GET_ISSUER_CERT',
}

export type Standing = Disposable & {
  /** From now on, for as long as it is open. Only for who has shown a certificate that TLS accepted. */
  readonly hold: (socket: TLSSocket) => void
  /** Why the certificate of a connection that is held is no longer good, as OpenSSL would say. */
  readonly refusal: (socket: TLSSocket) => string | undefined
  /** The same in our words: of one that was cut off, why. */
  readonly cause: (socket: TLSSocket) => CutOffCause | undefined
  /**
   * These connections, which are held, count as made with this certificate from now on. TLS has not looked at it; whether it
   * is of the same holder the caller knows.
   *
   * @returns why not, if not
   */
  readonly renew: (
    sockets: readonly TLSSocket[],
    leaf: X509Certificate,
    brought: readonly X509Certificate[],
  ) => CutOffCause | 'one of too many' | undefined
  /**
   * Another connection of whose the first one is, which was under way when that one's certificate was exchanged: it counts as made
   * with the certificate of the first, where that is good for longer.
   */
  readonly follow: (socket: TLSSocket, first: TLSSocket) => void
  /** The CAs or the revocation lists are others. */
  readonly look: () => void
}

export type StandingDeps = {
  readonly port: Port | 'admin'
  /** As for `readIdentity`. */
  readonly trustDomain?: string | undefined
  readonly authorities: () => string | undefined
  readonly revocations: () => Revocations | undefined
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'cutOff'>
  readonly audit?: Audit | undefined
}

/** A certificate that was followed by another on a connection. */
type Followed = { readonly chain: readonly X509Certificate[]; readonly endUnixMs: number }

/** All connections with one certificate. */
type Holder = {
  readonly leaf: X509Certificate
  readonly brought: readonly X509Certificate[]
  /**
   * Which certificates this one has followed, by fingerprint, as long as they would still be good: to revoke one is to revoke
   * what came of it. Values and no holders, so that there is no way round in a circle.
   */
  followed: ReadonlyMap<string, Followed>
  /** None when TLS knew a way that we do not find. */
  chain: readonly X509Certificate[] | undefined
  endUnixMs: number
  cause: CutOffCause | undefined
  readonly sockets: Set<TLSSocket>
}

export function createStanding(deps: StandingDeps): Standing {
  const { port, trustDomain, authorities, revocations, clock, log, metrics, audit } = deps
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const holders = new Map<string, Holder>() // by fingerprint; one that is left is kept until the next look
  const holderOf = new WeakMap<TLSSocket, Holder>()
  let bundle = authorities()
  let trusted = parse(bundle)
  let lists = revocations()
  let timer = clock.after(LOOK_MS, tick)

  function newHolder(leaf: X509Certificate, brought: readonly X509Certificate[] = []): Holder {
    const holder: Holder = {
      leaf,
      brought,
      followed: new Map(),
      chain: undefined,
      endUnixMs: 0,
      cause: undefined,
      sockets: new Set(),
    }
    findChain(holder)
    holder.cause = judge(holder)
    return holder
  }

  function judge(holder: Holder): CutOffCause | undefined {
    const nowMs = clock.unixMs()
    if (lists && !holder.chain) return 'untrusted' // whose list would say whether it is revoked?
    const followed = [...holder.followed.values()].filter(({ endUnixMs }) => endUnixMs >= nowMs)
    try {
      if ([followedAs(holder), ...followed].some(({ chain }) => lists?.find(chain))) return 'revoked'
    } catch (error) {
      return unreadable(holder, error as Error)
    }
    return holder.endUnixMs < nowMs ? 'expired' : undefined
  }

  /** OpenSSL takes more than DER, and a CA of the bundle has signed it: nobody can say whether it is on a list. */
  function unreadable({ leaf }: Holder, { message: reason }: Error): CutOffCause {
    const who = { subject: leaf.subject?.replaceAll('\n', ', '), serial: leaf.serialNumber.toLowerCase() }
    const fields = { port, ...who, reason }
    warnings.warn(leaf.fingerprint256, fields, 'a certificate cannot be looked for in the revocation lists')
    return 'untrusted'
  }

  /** What it will have followed when it comes after these; undefined: that would be too many. */
  function followedBy(holder: Holder, befores: readonly Holder[]): Holder['followed'] | undefined {
    const all = new Map(holder.followed)
    for (const before of befores) {
      for (const [fingerprint, one] of before.followed) all.set(fingerprint, one)
      all.set(before.leaf.fingerprint256, followedAs(before))
    }
    all.delete(holder.leaf.fingerprint256)
    for (const [fingerprint, { endUnixMs }] of all) if (endUnixMs < clock.unixMs()) all.delete(fingerprint)
    return all.size > MAX_FOLLOWED ? undefined : all
  }

  function cutOff(holder: Holder, why: CutOffCause): void {
    holder.cause = why
    const { subject, subjectAltName, serialNumber } = holder.leaf
    const who = { subject: subject?.replaceAll('\n', ', '), serial: serialNumber.toLowerCase() }
    const principal = principalOf(readIdentity(subjectAltName, trustDomain), who.subject ?? '')
    const connections = holder.sockets.size
    log.warn({ port, why, ...who, connections }, 'connections cut off: their certificate is no longer good')
    for (const socket of holder.sockets) {
      metrics.cutOff(port, why)
      audit?.({ event: 'cut-off', principal, source: sourceOf(socket), reason: `certificate ${why}` })
      socket.destroy()
    }
  }

  function look(): void {
    const current = authorities()
    const rebundled = current !== bundle
    const relisted = rebundled || revocations() !== lists
    lists = revocations()
    if (rebundled) {
      bundle = current
      trusted = parse(bundle)
    }
    const nowMs = clock.unixMs()
    for (const [fingerprint, holder] of holders) {
      if (holder.sockets.size === 0) {
        holders.delete(fingerprint)
        continue
      }
      const wasKnown = holder.chain !== undefined
      if (rebundled) findChain(holder)
      const lost = wasKnown && !holder.chain
      // Thousands may be connected: what every second asks of each is a comparison.
      const why = lost ? 'untrusted' : relisted || holder.endUnixMs < nowMs ? judge(holder) : undefined
      if (why && !holder.cause) cutOff(holder, why)
    }
  }

  function findChain(holder: Holder): void {
    holder.chain = chainTo(holder.leaf, trusted, holder.brought)
    holder.endUnixMs = endOf(holder.chain ?? [holder.leaf])
  }

  function renew(sockets: readonly TLSSocket[], holder: Holder): ReturnType<Standing['renew']> {
    if (!holder.chain) return 'untrusted'
    if (holder.cause) return holder.cause
    const live = sockets.filter((socket) => holderOf.get(socket)?.sockets.has(socket)) // the others have been cut off
    const followed = followedBy(
      holder,
      live.flatMap((socket) => holderOf.get(socket) ?? []),
    )
    if (!followed) return 'one of too many'
    holder.followed = followed
    holders.set(holder.leaf.fingerprint256, holder)
    for (const socket of live) {
      holderOf.get(socket)?.sockets.delete(socket)
      holder.sockets.add(socket)
      holderOf.set(socket, holder)
    }
    return undefined
  }

  function tick(): void {
    timer = clock.after(LOOK_MS, tick)
    look()
  }

  return {
    hold(socket) {
      const leaf = socket.getPeerX509Certificate()
      if (!leaf) return
      const known = holders.get(leaf.fingerprint256)
      const holder = known ?? newHolder(leaf)
      holderOf.set(socket, holder)
      if (!known) holders.set(leaf.fingerprint256, holder)
      if (holder.cause) return // refused by who asks, who has something to say first
      holder.sockets.add(socket)
      socket.once('close', () => holderOf.get(socket)?.sockets.delete(socket))
    },
    renew: (sockets, leaf, brought) => renew(sockets, holders.get(leaf.fingerprint256) ?? newHolder(leaf, brought)),
    follow(socket, first) {
      const [own, other] = [holderOf.get(socket), holderOf.get(first)]
      if (own && other && other.endUnixMs > own.endUnixMs) renew([socket], other)
    },
    refusal(socket) {
      const cause = holderOf.get(socket)?.cause
      return cause && CODES[cause]
    },
    cause: (socket) => holderOf.get(socket)?.cause,
    look,
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  }
}

const followedAs = ({ chain, leaf, endUnixMs }: Holder): Followed => ({ chain: chain ?? [leaf], endUnixMs })

const parse = (bundle: string | undefined): X509Certificate[] =>
  splitCertificates(bundle ?? '').map((pem) => new X509Certificate(pem))

const endOf = (chain: readonly X509Certificate[]): number =>
  Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
