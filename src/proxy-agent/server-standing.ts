/**
 * Whether the servers at the other end of open connections are still good by the certificates that TLS has verified: looked at again and again, since who was
 * good at the handshake may have expired. What a server does with the certificates of agents: `src/proxy-server/standing.ts`.
 */
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { chainTo } from '../pki/chain.ts'
import { splitCertificates } from '../pki/pem.ts'
import type { Clock } from '../platform/clock.ts'

/** Between two looks: milliseconds. Who is no longer good is to be left within five seconds. */
const LOOK_MS = 1_000

/** Disposing it looks no more. */
export type ServerStanding = Disposable & {
  /**
   * From now on, for as long as it is open.
   *
   * @param socket TLS has verified its server
   * @param lost told why, once at most
   */
  readonly hold: (socket: TLSSocket, lost: (why: string) => void) => void
}

export type ServerStandingDeps = {
  /** PEM: what TLS verifies servers by. */
  readonly authorities: () => string | undefined
  readonly clock: Clock
}

type Held = {
  readonly chain: readonly X509Certificate[]
  readonly endUnixMs: number
  readonly lost: (why: string) => void
}

export function createServerStanding({ authorities, clock }: ServerStandingDeps): ServerStanding {
  const held = new Map<TLSSocket, Held>()
  let timer = clock.after(LOOK_MS, tick)

  function tick(): void {
    timer = clock.after(LOOK_MS, tick)
    for (const [socket, { endUnixMs, lost }] of held) {
      if (endUnixMs >= clock.unixMs()) continue
      held.delete(socket)
      lost(`the server's certificate, or that of a CA above it, expired at ${new Date(endUnixMs).toISOString()}`)
    }
  }

  return {
    hold(socket, lost) {
      const leaf = socket.getPeerX509Certificate()
      if (!leaf || socket.destroyed) return
      const chain = chainTo(leaf, parse(authorities())) ?? [leaf] // TLS may know a way that we do not find
      held.set(socket, { chain, endUnixMs: endOf(chain), lost })
      socket.once('close', () => held.delete(socket))
    },
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  }
}

const parse = (bundle: string | undefined): X509Certificate[] =>
  splitCertificates(bundle ?? '').map((pem) => new X509Certificate(pem))

const endOf = (chain: readonly X509Certificate[]): number =>
  Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
