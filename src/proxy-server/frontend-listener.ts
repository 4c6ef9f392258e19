/** The frontends of http-connect mode: TCP with mTLS, or a Unix socket. */
import { createServer, type Server, type Socket } from 'node:net'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import { stopListening } from '../platform/listen.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { Admission } from './core/admission.ts'
import type { BehindFrontDoors } from './front-doors.ts'
import { dismissIdle, isIdle, serveFrontend } from './frontend.ts'
import { createFrontendAdmission, type Entrance } from './frontend-admission.ts'
import type { Frontend, FrontendDeps } from './frontend-client.ts'
import { createSeats } from './frontend-seats.ts'
import type { Standing } from './standing.ts'
import { noHandshake } from './strangers.ts'
import type { Tenants } from './tenants.ts'
import { createTlsListener } from './tls-listener.ts'

export type FrontendListenerOptions = {
  readonly standing?: Standing | undefined
  readonly protocol: TlsProtocol
  readonly handshakeTimeoutMs: number
  readonly trustDomain: string | undefined
  /** Of frontends over TLS. */
  readonly frontDoors?: BehindFrontDoors | undefined
  /** On a server of many clusters. */
  readonly tenants?: Tenants
}

export type FrontendListener = {
  /** For `listen`. */
  readonly server: Server
  /** Takes nobody else; who was accepted stays. */
  readonly close: () => Promise<void>
  readonly renew: (material: TlsMaterial) => void
  /** A client that came in by the Unix socket of its cluster. */
  readonly take: (socket: Socket, entrance: Entrance) => void
  readonly count: () => number
  /** Whether anything is under way, the last bytes of clients that are gone included. */
  readonly busy: () => boolean
  /** When a client last opened a call, before it has dialled: `Clock.now`. */
  readonly lastCallMs: () => number
  /** Has clients that keep their connections make new ones, also those who come from now on. Whoever comes is still served. */
  readonly goAway: () => void
  /** Hangs up on those who have not asked for anything yet, and on those who come later. */
  readonly dismissIdle: () => void
  /** Those who have been told to go, which they should read before they are hung up on, and are still there. */
  readonly leaving: () => number
  readonly destroyAll: () => void
}

/** @param material none: a Unix socket, whose permissions say who may use it */
export function createFrontendListener(
  material: TlsMaterial | undefined,
  options: FrontendListenerOptions,
  deps: FrontendDeps,
): FrontendListener {
  const { metrics, log } = deps
  const clients = new Set<Frontend>()
  const leave = (client: Frontend): void => void clients.delete(client)
  const admission = createFrontendAdmission(options, deps)
  const seats = options.tenants && createSeats(options.tenants, deps, admission.again)
  let dismissed = false

  function serve(socket: Socket, raw: Socket, admission: Admission): void {
    if (dismissed) return void socket.destroy() // its handshake was under way
    if (!seats) return void clients.add(serveFrontend(socket, raw, admission, deps, leave))
    const seat = seats.take(socket, admission, 'clients', () => socket.destroy())
    if (!seat) return
    const leaveSeat = (client: Frontend): void => {
      leave(client)
      seat.leave(client.wasOfUse)
    }
    clients.add(serveFrontend(socket, raw, seat.admission, seat.deps, leaveSeat))
  }

  const tls =
    material &&
    createTlsListener({
      material,
      standing: options.standing,
      protocol: options.protocol,
      alpn: ['http/1.1'],
      handshakeTimeoutMs: options.handshakeTimeoutMs,
      frontDoors: options.frontDoors,
      gate: deps.penalty?.gate,
      brokeOff: deps.penalty?.brokeOff,
      halfOpen: true,
      connected: (socket, raw) => serve(socket, raw, admission.overTls(socket)),
      failed(why, error, source) {
        metrics.handshakeFailed('frontend', why)
        deps.auditOften?.(noHandshake('frontend', why, source))
        log.debug({ err: error }, 'TLS handshake on the frontend failed')
      },
    })
  const take = (socket: Socket, entrance?: Entrance): void =>
    serve(socket, socket, admission.overSocket(socket, entrance))
  const server = tls?.server ?? createServer({ allowHalfOpen: true }, (socket) => take(socket))

  return {
    server,
    close: () => stopListening(server),
    renew: (renewed) => tls?.renew(renewed),
    take,
    count: () => clients.size,
    busy() {
      for (const client of clients) if (!isIdle(client)) return true
      return false
    },
    lastCallMs: () => Number.NEGATIVE_INFINITY, // its dial comes with its call
    goAway: () => undefined, // a client of http-connect makes a connection for each of its requests
    dismissIdle() {
      dismissed = true
      for (const client of clients) dismissIdle(client)
    },
    leaving: () => 0,
    destroyAll() {
      for (const { socket } of clients) socket.destroy()
    },
  }
}
