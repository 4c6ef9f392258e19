/**
 * One call of gRPC mode on its HTTP/2 stream: packets in and out, deadlines, the end. What they mean is in core/proxy-call.ts.
 * Source: docs/protocol.md section 12; gRPC over HTTP/2.
 */
import type { Buffer } from 'node:buffer'
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { StreamEndCode } from '../platform/stream-figures.ts'
import type { Ending } from '../tunnel/connection.ts'
import { forcedBy } from '../tunnel/forced.ts'
import { grpcDecoder } from '../tunnel/grpc-messages.ts'
import type { Packet } from '../tunnel/packet.ts'
import type { Admission } from './core/admission.ts'
import type { BegunMessages } from './core/begun-messages.ts'
import { dialErrorText } from './core/dial-response.ts'
import { type GrpcStatus, grpcStatus, unreadable } from './core/grpc-status.ts'
import { createProxyCall } from './core/proxy-call.ts'
import type { Turns } from './core/turns.ts'
import type { FrontendDeps } from './frontend-client.ts'
import { createCallSending } from './grpc-call-sending.ts'
import { plainAddress, sourceOf } from './source.ts'

/**
 * A client notes its connection in another thread than the one that reads: bytes of the target right behind DIAL_RSP may
 * find it unknown, and are lost then. They wait for the client's first byte or for this long: milliseconds.
 */
const NOTED_MS = 10
/** How long a client whose connection broke may take to read what is left: milliseconds. */
const LAST_WORDS_MS = 5_000
/** A call without a dial or a connection is ended after this, and at most twice this: milliseconds. */
const IDLE_MS = 60_000
/** How long a call that was ended may take to bring its status out: milliseconds. */
const END_GRACE_MS = 1_000
/** Packets besides data that a client who does not read may make us keep, in one call: bytes. */
const MAX_UNREAD_BYTES = 1024 * 1024
/** So many of them are nobody's concern: bytes. */
const FREE_UNREAD_BYTES = 16 * 1024
/** With these a client says that it wants no more of its call; with others, that something broke. */
const RESETS_IN_ORDER: ReadonlySet<number> = new Set([constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR])

export type GrpcFrontendOptions = {
  readonly maxMessageBytes: number
  /** Packets that mean nothing, in one call; more end it. */
  readonly maxViolations: number
}

export type GrpcFrontendDeps = Omit<FrontendDeps, 'options'> & { readonly options: GrpcFrontendOptions }

export type GrpcFrontend = {
  readonly busy: () => boolean
  /** Takes no more dials, and ends the call if it has nothing open. */
  readonly dismiss: () => void
}

export type GrpcFrontendEvents = {
  /** Of the HTTP/2 connection. */
  readonly turns: Turns
  /** Of all calls. */
  readonly begun: BegunMessages
  /** Whether the HTTP/2 connection is gone. */
  readonly connectionLost: () => boolean
  /** A dial of its is one of those that its cluster may have. */
  readonly counted: () => void
  /** It has waited to be told why a dial is not. */
  readonly told: () => void
  /** The stream is closed, and what its client sent is on its way. Once. */
  readonly done: () => void
}

/** Serves the call until its stream closes. */
export function serveGrpcFrontend(
  stream: ServerHttp2Stream,
  { cluster, principal }: Extract<Admission, { kind: 'admitted' }>,
  deps: GrpcFrontendDeps,
  events: GrpcFrontendEvents,
): GrpcFrontend {
  const { options, clock, metrics } = deps
  const count = metrics.frontendPackets.received
  let trailers: Record<string, string> = grpcStatus('OK', '')
  const sending = createCallSending(stream, { clock, metrics, turns: events.turns, changed: lookAtUnread })
  let reading = true
  let violations = 0
  let whole = true // the client has sent no part of a message without the rest
  let state: 'open' | 'ending' | 'closed' = 'open'
  let clientEnded = false
  let fault: StreamEndCode = 'Canceled' // unless the call ends in order, or for something worse
  let toldDone = false
  let idleTimer: Disposable
  let grace: Disposable | undefined

  const call = createProxyCall({
    dial: ({ random, protocol, address }, { connected, failed }) =>
      deps.dialing.dial(
        cluster,
        principal,
        address,
        {
          counted: events.counted,
          connected,
          failed(failure) {
            if (failure.kind === 'cluster-limit') events.told()
            failed(dialErrorText(failure), failure.kind === 'no-agent')
          },
          source: stream.session?.socket,
        },
        { random, protocol },
      ),
    refused:
      deps.audit &&
      ((destination, reason) => {
        const source = stream.session?.socket && sourceOf(stream.session.socket)
        deps.audit?.({ event: 'dial', cluster, principal, source, destination, verdict: 'refused', reason })
      }),
    send,
    data: sending.data,
    read: setReading,
    noted: (callback) => void clock.after(NOTED_MS, callback),
    later: (callback) => process.nextTick(callback),
    violation(kind) {
      metrics.clientViolation(kind)
      const source = plainAddress(stream.session?.socket?.remoteAddress)
      deps.auditOften?.({ event: 'violation', cluster, principal, source, verdict: 'refused', reason: kind })
      violations++
      if (violations <= options.maxViolations || state !== 'open') return
      fault = 'ResourceExhausted'
      end('RESOURCE_EXHAUSTED', 'too many packets that mean nothing here')
    },
    opened() {
      const startMs = clock.now()
      return (ending) => connectionEnded(clock.now() - startMs, ending)
    },
    settled,
    hurry: (lie) =>
      void clock.after(LAST_WORDS_MS, () => {
        if (lie()) cut()
      }),
    cut: () => cut(),
  })

  const holds = events.begun.join(() => {
    fault = 'ResourceExhausted'
    letGo()
    end('RESOURCE_EXHAUSTED', 'too much is held of messages that were begun and not finished')
  })
  let decode = grpcDecoder(options.maxMessageBytes, {
    packet(packet) {
      count[packet.type]++
      call.receive(packet)
    },
    data(connectId, payload, first) {
      if (first) count.DATA++
      metrics.bytes.fromSockets += payload.length
      call.receiveData(connectId, payload, first)
    },
    held: holds,
  })

  const unread = deps.unread.join(
    () => stream.readableLength + sending.packetBytes(),
    () => {
      metrics.connectionForced('over-budget')
      hangUp()
    },
  )

  function lookAtUnread(): void {
    unread.watch(state !== 'closed' && (!reading || sending.packetBytes() > FREE_UNREAD_BYTES))
  }

  /** Of a message that was begun: no more of it is wanted. */
  function letGo(): void {
    decode = () => false
    holds(0)
  }

  function read(chunk: Buffer): void {
    if (state !== 'open') return
    try {
      whole = decode(chunk)
    } catch (error) {
      const { status, message, how } = unreadable(error)
      fault = how === 'too_large' ? 'ResourceExhausted' : 'Internal'
      end(status, message)
    }
  }

  function setReading(on: boolean): void {
    if (on === reading) return
    reading = on
    metrics.frontendPaused(on ? -1 : 1)
    if (on) stream.resume()
    else stream.pause()
    lookAtUnread()
  }

  function send(packet: Packet): void {
    sending.packet(packet)
    if (sending.packetBytes() > MAX_UNREAD_BYTES) process.nextTick(hangUp)
  }

  function hangUp(): void {
    if (state !== 'open') return
    fault = 'ResourceExhausted'
    cut(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  function connectionEnded(ms: number, ending: Ending): void {
    metrics.connectionEnded(ms, ending.kind)
    if (ending.kind !== 'reset') return
    const forced = forcedBy(ending)
    if (forced) metrics.connectionForced(forced)
    deps.log.debug({ by: ending.by, reason: ending.reason }, 'connection reset')
  }

  /** The server ends the call: with a status, and what is open breaks. */
  function end(status: GrpcStatus, message: string): void {
    if (state !== 'open') return
    state = 'ending'
    trailers = grpcStatus(status, message)
    if (status !== 'OK' && status !== 'UNAVAILABLE') {
      deps.log.warn({ status, reason: message, principal }, 'call ended by the server')
      const source = plainAddress(stream.session?.socket?.remoteAddress)
      deps.auditOften?.({ event: 'frontend', cluster, principal, source, verdict: 'refused', reason: message })
    }
    call.ended(status !== 'OK')
    sending.end()
    stream.resume() // what still comes is dropped: unread, it would keep the stream open
    grace = clock.after(END_GRACE_MS, () => cut())
  }

  function cut(code: number = constants.NGHTTP2_CANCEL): void {
    call.ended(true)
    if (!stream.destroyed) stream.close(code)
  }

  function lookAtIdle(): void {
    if (state === 'open' && !call.busy()) {
      fault = 'OK'
      return end('OK', '')
    }
    idleTimer = clock.after(IDLE_MS, lookAtIdle)
  }

  /** A reset, or the end of the connection, for which Node gives the code of a cancelled call as well. */
  function aborted(): void {
    if (state !== 'open') return
    const cancelled = RESETS_IN_ORDER.has(stream.rstCode ?? -1) && !events.connectionLost()
    call.ended(!(cancelled && whole && stream.readableLength === 0))
    stream.resume() // unread, it would not close
  }

  function closed(): void {
    state = 'closed'
    idleTimer[Symbol.dispose]()
    grace?.[Symbol.dispose]()
    letGo()
    setReading(true)
    metrics.frontendStreamEnded(clientEnded ? 'OK' : fault)
    call.ended(true)
    sending.close()
    settled()
  }

  function settled(): void {
    if (call.busy() || state !== 'closed' || toldDone) return
    toldDone = true
    events.done()
  }

  metrics.frontendStreamOpened()
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.on('data', read)
  stream.on('end', () => {
    if (state !== 'open' || stream.aborted) return
    if (!whole) {
      fault = 'Internal'
      return end('INTERNAL', 'the call ended in the middle of a message')
    }
    clientEnded = true
    end('OK', '')
  })
  stream.once('aborted', aborted)
  stream.once('close', closed)
  idleTimer = clock.after(IDLE_MS, lookAtIdle)

  return {
    busy: call.busy,
    dismiss() {
      call.drain()
      if (!call.busy()) end('UNAVAILABLE', 'the server is shutting down')
    },
  }
}
