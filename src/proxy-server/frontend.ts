/**
 * One client of the http-connect frontend: reads its CONNECT, has the target dialled, answers, and joins the two.
 * Source: docs/protocol.md sections 5 and 9; RFC 9110 section 9.3.6.
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Ending } from '../tunnel/connection.ts'
import { createEndpoint, type Endpoint, reset } from '../tunnel/endpoint.ts'
import type { Admission } from './core/admission.ts'
import { answer, established, type Failure } from './core/answers.ts'
import { readConnectHead } from './core/connect-head.ts'
import type { Unread, UnreadBytes } from './core/unread.ts'
import type { Dialing } from './dialing.ts'
import { forcedReasons, type HeadRefusal, type ServerMetrics } from './metrics.ts'

/** How long a client that was refused may take to read the answer: milliseconds. */
const LAST_WORDS_MS = 5_000
/**
 * On a Unix socket the 200 and what follows may be read as one, which kube-apiserver refuses: the target's first bytes wait
 * for the client's first byte or for this long: milliseconds. It narrows the race and cannot close it.
 */
const UDS_FIRST_BYTES_MS = 10
/** Of what is wrong with a request, which may quote its target: characters. */
const MAX_LOGGED_CHARS = 200

export type FrontendOptions = {
  readonly headBytes: number
  readonly headTimeoutMs: number
  readonly earlyDataBytes: number
}

export type FrontendDeps = {
  readonly options: FrontendOptions
  readonly dialing: Dialing
  readonly clock: Clock
  readonly log: Log
  readonly metrics: ServerMetrics
  readonly unread: UnreadBytes
}

export type Frontend = {
  /** It has not asked for anything yet. */
  readonly isIdle: () => boolean
  /** Hangs up when the client has not asked for anything yet. */
  readonly dismissIdle: () => void
}

/** Takes over a client whose handshake, if any, is done. @param done the client is gone and so is its connection; once */
export function serveFrontend(socket: Socket, admission: Admission, deps: FrontendDeps, done: () => void): Frontend {
  const { options, clock, metrics } = deps
  const timing = { now: clock.now, wrote: metrics.frontendWrote }
  let received = NOTHING // the head, then the client's early bytes
  let state: 'head' | 'dialing' | 'open' | 'refused' = 'head'
  let ended = false // the client sends no more
  let cancel = nothingToCancel
  let endpoint: Endpoint | undefined
  let openedMs = 0
  let socketClosed = false
  let served = false // it has asked for a connection
  let unread: Unread | undefined
  let deadline: Disposable | undefined = clock.after(options.headTimeoutMs, () => {
    if (state === 'head') refuse({ kind: 'slow-head' }, 'slow')
  })

  socket.on('data', read)
  socket.on('end', clientEnded)
  socket.on('error', gone)
  socket.on('close', closed)
  socket.on('pause', () => watchUnread(true))
  socket.on('resume', () => watchUnread(false))
  if (admission.kind === 'refused') refuse({ kind: 'forbidden', cause: admission.cause })

  function read(chunk: Buffer): void {
    if (state === 'open') {
      endpoint?.release()
      if (!endpoint?.read(chunk)) socket.pause()
    } else if (state !== 'refused') {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      if (state === 'head') readHead()
      else if (received.length >= options.earlyDataBytes) socket.pause()
      else watchUnread(true)
    }
  }

  /** Most clients are never watched. */
  function watchUnread(on: boolean): void {
    if (on) unread ??= deps.unread.join(() => received.length + socket.readableLength, giveUp)
    unread?.watch(on && !socket.destroyed)
  }

  function giveUp(): void {
    metrics.connectionForced('over-budget')
    received = NOTHING
    reset(socket)
  }

  function endDeadline(): void {
    deadline?.[Symbol.dispose]()
    deadline = undefined
  }

  function readHead(): void {
    const head = readConnectHead(received, options.headBytes)
    if (head.kind === 'more') return
    if (head.kind === 'refused') {
      deps.log.debug(
        { why: head.why, status: head.status, detail: head.detail.slice(0, MAX_LOGGED_CHARS) },
        'CONNECT refused',
      )
      return refuse(head, head.why)
    }
    if (admission.kind === 'refused') return
    endDeadline()
    state = 'dialing'
    served = true
    metrics.connectServed(1)
    received = received.subarray(head.headBytes)
    if (received.length >= options.earlyDataBytes) socket.pause()
    else if (received.length > 0) watchUnread(true)
    cancel = deps.dialing.dial(admission.cluster, admission.principal, head.address, {
      connected(connection) {
        state = 'open'
        cancel = nothingToCancel // what is left of a dial need not stay as long as its connection
        openedMs = clock.now()
        endpoint = createEndpoint({ socket, count: metrics.bytes, held: true, timing, over })
        endpoint.attach(connection)
        process.nextTick(open)
        return endpoint.events
      },
      failed: (failure) => refuse(failure),
    })
  }

  /** The 200 goes out alone; the target's bytes follow when it has left. */
  function open(): void {
    if (socket.destroyed) return
    socket.write(established, (error) => {
      if (error) metrics.dialFailed('send_rsp')
      if (!isUnixSocket(socket)) endpoint?.release()
      else clock.after(UDS_FIRST_BYTES_MS, () => endpoint?.release())
    })
    const early = received
    received = NOTHING
    const mayRead = early.length > 0 ? endpoint?.read(early) : endpoint?.mayRead()
    if (!mayRead) socket.pause()
    else if (!socket.isPaused()) watchUnread(false)
    if (ended) endpoint?.ended()
    else if (mayRead) socket.resume()
  }

  /** FIN during a dial: a client that has sent something waits for the answer to it; one that has not went away. */
  function clientEnded(): void {
    ended = true
    if (state === 'head') return void socket.destroy()
    if (state === 'dialing' && received.length === 0) socket.destroy()
  }

  function gone(): void {
    endDeadline()
    if (state === 'dialing') cancel()
    if (state !== 'open') state = 'refused'
  }

  /** The tunnel may still have bytes of a client that has gone in good order. */
  function closed(): void {
    gone()
    watchUnread(false)
    if (state === 'refused') leave()
    else socketClosed = true
  }

  function leave(): void {
    if (served) metrics.connectServed(-1)
    done()
  }

  function refuse(failure: Failure, headFault?: HeadRefusal): void {
    if (headFault !== undefined) metrics.headRefused(headFault)
    endDeadline()
    state = 'refused'
    received = NOTHING
    socket.end(answer(failure))
    socket.resume() // unread bytes would turn the end into a reset, which can overtake the answer
    const patience = clock.after(LAST_WORDS_MS, () => socket.destroy())
    socket.once('close', () => patience[Symbol.dispose]())
  }

  function over(ending: Ending): void {
    metrics.connectionEnded(clock.now() - openedMs, ending.kind)
    const forced = ending.kind === 'reset' && ending.by === 'self' && forcedReasons.find((it) => it === ending.reason)
    if (forced) metrics.connectionForced(forced)
    if (socketClosed) leave()
    else socket.once('close', leave)
    if (ending.kind === 'reset') deps.log.debug({ by: ending.by, reason: ending.reason }, 'connection reset')
  }

  return {
    isIdle: () => state === 'head',
    dismissIdle() {
      if (state === 'head') socket.destroy()
    },
  }
}

const NOTHING: Buffer = Buffer.alloc(0)
const nothingToCancel = (): void => {}

const isUnixSocket = (socket: Socket): boolean => !('encrypted' in socket) && socket.remoteFamily === undefined
