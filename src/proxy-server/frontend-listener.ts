/** The frontends of http-connect mode: TCP with mTLS, or a Unix socket. */
import { createServer, type Server, type Socket } from 'node:net'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { type Admission, admit, DEFAULT_CLUSTER } from './core/admission.ts'
import { type Frontend, type FrontendDeps, serveFrontend } from './frontend.ts'
import { createTlsListener, peerCertificate } from './tls-listener.ts'

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
  /** Hangs up on those who have not asked for anything yet, and on those who come later. */
  readonly dismissIdle: () => void
  /** Calls back when nobody is connected any more and all that clients sent is on its way. */
  readonly whenEmpty: (empty: () => void) => void
  readonly destroyAll: () => void
}

/** @param material none: a Unix socket, whose permissions say who may use it */
export function createFrontendListener(
  material: TlsMaterial | undefined,
  options: FrontendListenerOptions,
  deps: FrontendDeps,
): FrontendListener {
  const { metrics, log } = deps
  const clients = new Map<Socket, Frontend>()
  let empty: (() => void) | undefined
  let dismissed = false

  function serve(socket: Socket, admission: Admission): void {
    if (dismissed) return void socket.destroy() // its handshake was under way
    const done = (): void => {
      clients.delete(socket)
      if (clients.size === 0) empty?.()
    }
    clients.set(socket, serveFrontend(socket, admission, deps, done))
  }

  const tls =
    material &&
    createTlsListener({
      material,
      protocol: options.protocol,
      alpn: ['http/1.1'],
      handshakeTimeoutMs: options.handshakeTimeoutMs,
      halfOpen: true,
      connected: (socket) =>
        serve(socket, admit(peerCertificate(socket, true), ['apiserver', 'user'], options.trustDomain)),
      failed(why, error) {
        metrics.handshakeFailed('frontend', why)
        log.debug({ err: error }, 'TLS handshake on the frontend failed')
      },
    })
  const local: Admission = { kind: 'admitted', cluster: DEFAULT_CLUSTER, principal: 'unix-socket' }
  const server = tls?.server ?? createServer({ allowHalfOpen: true }, (socket) => serve(socket, local))

  return {
    server,
    renew: (renewed) => tls?.renew(renewed),
    count: () => clients.size,
    dismissIdle() {
      dismissed = true
      for (const client of clients.values()) client.dismissIdle()
    },
    whenEmpty(callback) {
      empty = callback
      if (clients.size === 0) callback()
    },
    destroyAll() {
      for (const socket of clients.keys()) socket.destroy()
    },
  }
}
