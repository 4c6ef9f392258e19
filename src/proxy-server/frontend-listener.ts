/** The frontends of http-connect mode: TCP with mTLS, or a Unix socket. */
import { createServer, type Server, type Socket } from 'node:net'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { type Admission, DEFAULT_CLUSTER } from './core/admission.ts'
import { dismissIdle, type Frontend, type FrontendDeps, isIdle, serveFrontend } from './frontend.ts'
import { createFrontendAdmission } from './frontend-admission.ts'
import { createTlsListener } from './tls-listener.ts'

export type FrontendListenerOptions = {
  readonly protocol: TlsProtocol
  readonly handshakeTimeoutMs: number
  readonly trustDomain: string | undefined
}

export type FrontendListener = {
  /** For `listen` and `close`. */
  readonly server: Server
  readonly renew: (material: TlsMaterial) => void
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
  const admission = createFrontendAdmission(options.trustDomain, deps)
  let dismissed = false

  function serve(socket: Socket, raw: Socket, admission: Admission): void {
    if (dismissed) return void socket.destroy() // its handshake was under way
    clients.add(serveFrontend(socket, raw, admission, deps, leave))
  }

  const tls =
    material &&
    createTlsListener({
      material,
      protocol: options.protocol,
      alpn: ['http/1.1'],
      handshakeTimeoutMs: options.handshakeTimeoutMs,
      halfOpen: true,
      connected: (socket, raw) => serve(socket, raw, admission(socket)),
      failed(why, error) {
        metrics.handshakeFailed('frontend', why)
        log.debug({ err: error }, 'TLS handshake on the frontend failed')
      },
    })
  const local: Admission = { kind: 'admitted', cluster: DEFAULT_CLUSTER, principal: 'unix-socket' }
  const server = tls?.server ?? createServer({ allowHalfOpen: true }, (socket) => serve(socket, socket, local))

  return {
    server,
    renew: (renewed) => tls?.renew(renewed),
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
