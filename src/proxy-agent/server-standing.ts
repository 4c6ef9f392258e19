/**
 * Whether the servers at the other end of open connections are still good by the certificates that TLS has verified: looked at again and again, since who was
 * good at the handshake may have expired, or been revoked. Only with `--crl-file`: docs/adr/0041. What a server does with the certificates of agents:
 * `src/proxy-server/standing.ts`.
 */
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { chainTo } from '../pki/chain.ts'
import { splitCertificates } from '../pki/pem.ts'
import type { Revocations } from '../pki/revocations.ts'
import type { Clock } from '../platform/clock.ts'

/** Between two looks: milliseconds. Who is no longer good is to be left within five seconds. */
const LOOK_MS = 1_000

const EXPIRED = "the server's certificate, or that of a CA above it, expired at"
const REVOKED = "the server's certificate, or that of a CA above it, is revoked"
const UNTRUSTED = "the server's certificate cannot be looked for in the revocation lists"

/** Disposing it looks no more. */
export type ServerStanding = Disposable & {
  /**
   * From now on, for as long as it is open.
   *
   * @param socket TLS has verified its server
   * @param lost told why, once at most
   */
  readonly hold: (socket: TLSSocket, lost: (why: string) => void) => void
  /** Why a server is not to be spoken to, besides what TLS finds. */
  readonly refusal: (leaf: X509Certificate) => string | undefined
}

export type ServerStandingDeps = {
  /** PEM: what TLS verifies servers by. */
  readonly authorities: () => string | undefined
  readonly revocations: () => Revocations
  readonly clock: Clock
}

type Chain = readonly X509Certificate[]
type Held = {
  readonly leaf: X509Certificate
  readonly lost: (why: string) => void
  chain: Chain | undefined
  /** At the last look. */
  wasPast: boolean
}

export function createServerStanding({ authorities, revocations, clock }: ServerStandingDeps): ServerStanding {
  const held = new Map<TLSSocket, Held>()
  let bundle = authorities()
  let lists = revocations()
  let timer = clock.after(LOOK_MS, tick)

  const chainOf = (leaf: X509Certificate): Chain | undefined => chainTo(leaf, parse(authorities()))

  function revoked(chain: Chain | undefined): string | undefined {
    if (!chain) return UNTRUSTED // whose list would say whether it is revoked?
    try {
      return revocations().find(chain) && REVOKED
    } catch {
      return UNTRUSTED // OpenSSL takes more than DER
    }
  }

  /** By two looks in a row: a machine that wakes up may have a wrong clock for a moment. */
  function expired(one: Held): string | undefined {
    const { leaf, chain = [leaf], wasPast } = one
    const endUnixMs = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
    one.wasPast = endUnixMs < clock.unixMs()
    return one.wasPast && wasPast ? `${EXPIRED} ${new Date(endUnixMs).toISOString()}` : undefined
  }

  function loseThose(problemOf: (one: Held) => string | undefined): void {
    for (const [socket, one] of held) {
      const problem = problemOf(one)
      if (problem === undefined) continue
      held.delete(socket)
      one.lost(problem)
    }
  }

  function tick(): void {
    timer = clock.after(LOOK_MS, tick)
    const before = { bundle, lists }
    bundle = authorities()
    lists = revocations()
    if (bundle !== before.bundle) {
      for (const one of held.values()) one.chain = chainOf(one.leaf) ?? one.chain // a CA that was taken out ends nothing
    }
    if (lists !== before.lists || bundle !== before.bundle) loseThose(({ chain }) => revoked(chain))
    loseThose(expired)
  }

  return {
    hold(socket, lost) {
      const leaf = socket.getPeerX509Certificate()
      if (!leaf || socket.destroyed) return
      const chain = chainOf(leaf) // none: TLS knows a way that we do not find
      held.set(socket, { leaf, lost, chain, wasPast: false })
      socket.once('close', () => held.delete(socket))
    },
    refusal: (leaf) => revoked(chainOf(leaf)),
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  }
}

const parse = (bundle: string | undefined): X509Certificate[] =>
  splitCertificates(bundle ?? '').map((pem) => new X509Certificate(pem))
