/**
 * The frontends of gRPC mode: HTTP/2 over TCP with mTLS, or in clear over a Unix socket, and on it any number of calls: some
 * clients make a connection for each, others one for all. Source: docs/protocol.md section 12; gRPC over HTTP/2.
 */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { stopListening } from '../platform/listen.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { Admission } from './core/admission.ts'
import { BEGUN_BYTES, createBegunMessages } from './core/begun-messages.ts'
import { type GrpcStatus, isGrpc, unknownEncoding, unknownMethod } from './core/grpc-status.ts'
import { headerListBytes } from './core/registration.ts'
import { createTurns, type Turns } from './core/turns.ts'
import { createFrontendAdmission, type Entrance } from './frontend-admission.ts'
import type { FrontendListener, FrontendListenerOptions } from './frontend-listener.ts'
import { createSeats, type Full } from './frontend-seats.ts'
import { type GrpcFrontend, type GrpcFrontendDeps, serveGrpcFrontend } from './grpc-frontend.ts'
import { refuseCall, turnAway, type Uncalled, waitOf } from './grpc-later.ts'
import { refuseStream } from './grpc-refusal.ts'
import { isNoHttp2 } from './http2-errors.ts'
import type { HeadRefusal } from './metrics.ts'
import { type Source, sourceOf } from './source.ts'
import { noHandshake, noRoom } from './strangers.ts'
import { createTlsListener } from './tls-listener.ts'

/**
 * HTTP/2 windows for what clients send: bytes. A call's bounds what may be lost of a client that closes and goes while its
 * target takes nothing; a connection's must never be what one call waits for while another one fills it.
 */
const CALL_WINDOW_BYTES = 256 * 1024
const CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024
/** Node refuses streams when a session holds more than this: MiB. Our own budgets are far below. */
const SESSION_MEMORY_MIB = 1024
/** A kube-apiserver cancels calls by the thousand on one connection: Node's own limit would hang up on it. Per second. */
const STREAM_RESETS = 1_000_000
/** From accepting a connection to the client's first SETTINGS: milliseconds. */
const PREFACE_TIMEOUT_MS = 10_000
/** How long a client that is refused may stay once it can be told so: milliseconds. */
const REFUSED_MS = 10_000
/**
 * How long after it came a client of a server that drains is told to go: milliseconds. Enough for the calls that it came for;
 * untold, a client that means to keep its connection would keep it until the server breaks it.
 */
const LATE_GO_AWAY_MS = 1_000
/** Wait for the answer to a PING: milliseconds. As grpc-go's servers. */
const PING_TIMEOUT_MS = 20_000

export type GrpcFrontendListenerOptions = FrontendListenerOptions & {
  readonly maxHeaderListBytes: number
  /** Calls at once, of all clients, and HTTP/2 connections. */
  readonly maxCalls: number
  /** Between two PINGs to a client: milliseconds. */
  readonly keepaliveMs: number
}

/** An HTTP/2 connection, and whose it is. */
type Joined = Uncalled & {
  readonly lost: () => boolean
  readonly turns: Turns
  readonly admission: Admission | Full
  readonly deps: GrpcFrontendDeps
}

/** @param material none: a Unix socket, whose permissions say who may use it */
export function createGrpcFrontendListener(
  material: TlsMaterial | undefined,
  options: GrpcFrontendListenerOptions,
  deps: GrpcFrontendDeps,
): FrontendListener {
  const { metrics, log, clock } = deps
  const sessions = new Set<ServerHttp2Session>()
  const calls = new Set<GrpcFrontend>()
  const begun = createBegunMessages(Math.max(BEGUN_BYTES, deps.options.maxMessageBytes))
  const admission = createFrontendAdmission(options, deps)
  const seats = options.tenants && createSeats(options.tenants, deps, admission.again)
  let state: 'serving' | 'leaving' | 'dismissed' = 'serving'
  let lastCallMs = Number.NEGATIVE_INFINITY

  function connected(socket: Socket, admission: Admission): void {
    socket.on('error', (error) => log.debug({ err: error }, 'frontend connection error'))
    if (sessions.size >= options.maxCalls) {
      metrics.frontendDropped()
      deps.auditOften?.(noRoom(socket))
      return void socket.destroy()
    }
    if (!seats) return void join(socket, admission, deps)
    const seat = seats.take(socket, admission, 'sessions', () => socket.destroy())
    if (!seat) return
    const joined = join(socket, seat.admission, seat.deps)
    socket.once('close', () => seat.leave(joined.wasOfUse))
  }

  function join(socket: Socket, admission: Admission | Full, itsDeps: GrpcFrontendDeps): Joined {
    const http = performServerHandshake(socket, {
      settings: { initialWindowSize: CALL_WINDOW_BYTES, maxHeaderListSize: options.maxHeaderListBytes },
      maxSessionMemory: SESSION_MEMORY_MIB,
      streamResetBurst: STREAM_RESETS,
      streamResetRate: STREAM_RESETS,
    })
    http.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
    sessions.add(http)
    const turns = createTurns({
      open: () => (http.state.remoteWindowSize ?? 0) > 0,
      later: setImmediate,
      after: clock.after,
    })
    const preface = clock.after(PREFACE_TIMEOUT_MS, () => {
      noHead(socket, admission, 'slow')
      http.destroy()
    })
    const waitMs = waitOf(admission)
    const refused =
      admission.kind !== 'admitted' ? clock.after((waitMs ?? 0) + REFUSED_MS, () => http.destroy()) : undefined
    const late = state === 'leaving' ? clock.after(LATE_GO_AWAY_MS, () => http.close()) : undefined
    let keepalive = clock.after(options.keepaliveMs, ping)

    function ping(): void {
      if (http.destroyed) return void socket.destroy() // it waits for the client to hang up as well
      const unanswered = clock.after(PING_TIMEOUT_MS, () => {
        http.destroy()
        socket.destroy() // which has bytes that such a client will never take
      })
      http.ping((error) => {
        unanswered[Symbol.dispose]()
        if (!error && !http.destroyed) keepalive = clock.after(options.keepaliveMs, ping)
      })
    }

    const lost = (): boolean => http.destroyed || socket.destroyed // by us, or by the client
    const toldMs = waitMs === undefined ? undefined : clock.now() + waitMs
    const joined: Joined = { lost, turns, admission, toldMs, waiting: 0, wasOfUse: false, deps: itsDeps }

    http.once('remoteSettings', () => preface[Symbol.dispose]())
    http.on('error', (error: NodeJS.ErrnoException) => {
      if (isNoHttp2(error)) noHead(socket, admission, 'malformed')
      log.debug({ err: error }, 'frontend HTTP/2 error')
    })
    http.on('stream', (stream, headers, _flags, rawHeaders) => {
      stream.on('error', (error) => log.debug({ err: error }, 'frontend stream error'))
      serve(joined, stream, headers, rawHeaders as unknown as string[])
    })
    http.once('close', () => {
      preface[Symbol.dispose]()
      refused?.[Symbol.dispose]()
      late?.[Symbol.dispose]()
      keepalive[Symbol.dispose]()
      turns.end()
      sessions.delete(http)
    })
    if (state === 'dismissed') http.close()
    return joined
  }

  function noHead(socket: Source | undefined, admission: Admission | Full, why: HeadRefusal): void {
    metrics.headRefused(why)
    if (admission.kind !== 'admitted') return // which has its line already
    const { cluster, principal } = admission
    deps.audit?.({
      event: 'frontend',
      cluster,
      principal,
      source: socket && sourceOf(socket),
      verdict: 'refused',
      reason: why,
    })
  }

  function serve(
    joined: Joined,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ): void {
    const { lost, turns, admission, deps: itsDeps } = joined
    const refuse = (status: GrpcStatus, message: string, why: HeadRefusal, httpStatus?: number): void => {
      noHead(stream.session?.socket, admission, why)
      refuseStream(stream, status, message, httpStatus)
    }
    if (headerListBytes(rawHeaders) > options.maxHeaderListBytes) {
      const limit = `the header list is over the limit of ${options.maxHeaderListBytes} bytes`
      return refuse('RESOURCE_EXHAUSTED', limit, 'too-large')
    }
    const { ':path': path, ':method': method, 'content-type': contentType } = headers
    if (!isGrpc(contentType)) {
      const invalid = `invalid gRPC request content-type ${JSON.stringify(contentType ?? '')}`
      return refuse('INVALID_ARGUMENT', invalid, 'content-type', constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE)
    }
    const unknown = unknownMethod('ProxyService', 'Proxy', path, method)
    if (unknown !== undefined) return refuse('UNIMPLEMENTED', unknown, 'unknown-method')
    const unreadable = unknownEncoding(headers['grpc-encoding']?.toString())
    if (unreadable !== undefined) return refuse('UNIMPLEMENTED', unreadable, 'encoding')
    if (admission.kind === 'refused') {
      noHead(stream.session?.socket, admission, 'forbidden')
      const text = `client certificate not accepted: ${admission.cause}`
      return turnAway(stream, joined, 'UNAUTHENTICATED', text, clock)
    }
    if (admission.kind === 'full') return turnAway(stream, joined, 'RESOURCE_EXHAUSTED', admission.text, clock)
    if (state === 'dismissed') return refuse('UNAVAILABLE', 'the server is shutting down', 'shutdown')
    if (calls.size >= options.maxCalls) {
      joined.wasOfUse = true // others have what there is
      metrics.frontendDropped()
      const { cluster, principal } = admission
      deps.auditOften?.({ ...noRoom(stream.session?.socket ?? {}), cluster, principal })
      return refuseStream(stream, 'RESOURCE_EXHAUSTED', `the limit of ${options.maxCalls} calls is reached`)
    }
    const seat = seats?.call(admission.cluster, admission.principal)
    if (seat && 'text' in seat) return refuseCall(stream, seat, joined, clock)
    lastCallMs = clock.now()
    const call = serveGrpcFrontend(stream, admission, itsDeps, {
      turns,
      begun,
      connectionLost: lost,
      counted() {
        joined.wasOfUse = true
        deps.penalty?.ofUse(admission.cluster)
      },
      told() {
        joined.wasOfUse = true
      },
      done() {
        calls.delete(call)
        seat?.leave()
      },
    })
    calls.add(call)
  }

  const tls =
    material &&
    createTlsListener({
      material,
      standing: options.standing,
      protocol: options.protocol,
      alpn: ['h2'],
      handshakeTimeoutMs: options.handshakeTimeoutMs,
      frontDoors: options.frontDoors,
      gate: deps.penalty?.gate,
      brokeOff: deps.penalty?.brokeOff,
      halfOpen: false,
      connected: (socket) => connected(socket, admission.overTls(socket)),
      failed(why, error, source) {
        metrics.handshakeFailed('frontend', why)
        deps.auditOften?.(noHandshake('frontend', why, source))
        log.debug({ err: error }, 'TLS handshake on the frontend failed')
      },
    })
  const take = (socket: Socket, entrance?: Entrance): void => connected(socket, admission.overSocket(socket, entrance))

  const server = tls?.server ?? createServer((socket) => take(socket))

  return {
    server,
    close: () => stopListening(server),
    renew: (renewed) => tls?.renew(renewed),
    take,
    count: () => calls.size,
    busy() {
      for (const call of calls) if (call.busy()) return true
      return false
    },
    lastCallMs: () => lastCallMs,
    goAway() {
      state = 'leaving'
      for (const http of sessions) http.close() // what it carries goes on
    },
    dismissIdle() {
      state = 'dismissed'
      for (const call of calls) call.dismiss()
      for (const http of sessions) http.close()
    },
    leaving: () => sessions.size,
    destroyAll() {
      for (const http of sessions) http.destroy()
    },
  }
}
