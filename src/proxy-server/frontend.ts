/**
 * One client of the http-connect frontend: reads its CONNECT, has the target dialled, answers, and joins the two.
 * Source: docs/protocol.md sections 5 and 9; RFC 9110 section 9.3.6.
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Connection, ConnectionEvents, Ending } from '../tunnel/connection.ts'
import { close } from '../tunnel/ending.ts'
import {
  createEndpoint,
  type Endpoint,
  eventsOf,
  isStuckSocket,
  mayReadSocket,
  readSocket,
  release,
  socketClosed,
  socketEnded,
  socketFailed,
} from '../tunnel/endpoint.ts'
import { forcedBy } from '../tunnel/forced.ts'
import type { Admission } from './core/admission.ts'
import { established } from './core/answers.ts'
import { readConnectHead } from './core/connect-head.ts'
import { SHORTEST_REFUSAL_MS } from './core/refusal-pace.ts'
import { endDeadline, type Frontend, type FrontendDeps, NOTHING } from './frontend-client.ts'
import { refuse, refuseLater } from './frontend-refusal.ts'
import type { Full } from './frontend-seats.ts'
import { clientPaused, unreadClientClosed, watchUnread } from './unread-client.ts'

/**
 * On a Unix socket the 200 and what follows may be read as one, which kube-apiserver refuses: the target's first bytes wait
 * for the client's first byte or for this long: milliseconds. It narrows the race and cannot close it.
 */
const UDS_FIRST_BYTES_MS = 10
/** Of what is wrong with a request, which may quote its target: characters. */
const MAX_LOGGED_CHARS = 200

/**
 * Takes over a client whose handshake, if any, is done.
 *
 * @param raw what carries the socket: itself, or the connection under its TLS
 * @param done the client is gone and so is its connection; once
 */
export function serveFrontend(
  socket: Socket,
  raw: Socket,
  admission: Admission | Full,
  deps: FrontendDeps,
  done: (frontend: Frontend) => void,
): Frontend {
  const frontend: Frontend = {
    socket,
    raw,
    deps,
    done,
    admission,
    state: 'head',
    received: NOTHING, // the head, then the client's early bytes
    ended: false,
    isClosed: false,
    served: false,
    wasOfUse: false,
    deadline: undefined,
    cancelDial: nothingToCancel,
    endpoint: undefined,
    openedMs: 0,
    unread: undefined,
    vanished: undefined,
  }
  frontend.deadline = deps.clock.after(deps.options.headTimeoutMs, () => {
    if (frontend.state === 'head') refuse(frontend, { kind: 'slow-head' }, 'slow')
  })
  socket.on('data', (chunk: Buffer) => read(frontend, chunk))
  socket.on('end', () => clientEnded(frontend))
  socket.on('error', (error) => clientFailed(frontend, error))
  socket.on('close', () => clientClosed(frontend))
  socket.on('pause', () => clientPaused(frontend))
  socket.on('resume', () => watchUnread(frontend, false))
  if (admission.kind === 'refused') {
    const failure = { kind: 'forbidden', cause: admission.cause } as const
    if (admission.unmapped) refuseLater(frontend, failure, SHORTEST_REFUSAL_MS)
    else refuse(frontend, failure)
  }
  if (admission.kind === 'full') refuseLater(frontend, { ...admission, kind: 'cluster-limit' }, admission.afterMs)
  return frontend
}

/** It has not asked for anything yet. */
export const isIdle = ({ state }: Frontend): boolean => state === 'head'

/** Hangs up when the client has not asked for anything yet. */
export function dismissIdle({ state, socket }: Frontend): void {
  if (state === 'head') socket.destroy()
}

function read(frontend: Frontend, chunk: Buffer): void {
  const { socket, state, received, endpoint } = frontend
  if (state === 'open' && endpoint) {
    if (endpoint.isHeld) release(endpoint)
    if (!readSocket(endpoint, chunk)) socket.pause()
  } else if (state !== 'refused') {
    frontend.received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    if (state === 'head') readHead(frontend)
    else waitForDial(frontend)
  }
}

/** What the client sends before its connection is open lies here. */
function waitForDial(frontend: Frontend): void {
  const { socket, received, deps } = frontend
  if (received.length >= deps.options.earlyDataBytes) socket.pause()
  else if (received.length > 0) watchUnread(frontend, true)
}

function readHead(frontend: Frontend): void {
  const { received, admission, deps } = frontend
  const head = readConnectHead(received, deps.options.headBytes)
  if (head.kind === 'more') return
  if (head.kind === 'refused') {
    deps.log.debug(
      { why: head.why, status: head.status, detail: head.detail.slice(0, MAX_LOGGED_CHARS) },
      'CONNECT refused',
    )
    return refuse(frontend, head, head.why)
  }
  if (admission?.kind !== 'admitted') return
  endDeadline(frontend)
  frontend.admission = undefined
  frontend.state = 'dialing'
  frontend.served = true
  deps.metrics.connectServed(1)
  frontend.received = received.subarray(head.headBytes)
  waitForDial(frontend)
  frontend.cancelDial = deps.dialing.dial(admission.cluster, admission.principal, head.address, {
    counted() {
      frontend.wasOfUse = true
      deps.penalty?.ofUse(admission.cluster)
    },
    connected: (connection) => connected(frontend, connection),
    failed: (failure) => refuse(frontend, failure),
    source: frontend.socket,
  })
}

function connected(frontend: Frontend, connection: Connection): ConnectionEvents {
  const { socket, raw, deps } = frontend
  const { clock, metrics } = deps
  const endpoint = createEndpoint({
    socket,
    raw,
    count: metrics.bytes,
    held: true,
    timing: { now: clock.now, wrote: metrics.frontendWrote },
    over: (ending) => over(frontend, ending),
  })
  endpoint.connection = connection
  frontend.state = 'open'
  frontend.cancelDial = nothingToCancel // what is left of a dial need not stay as long as its connection
  frontend.openedMs = clock.now()
  frontend.endpoint = endpoint
  process.nextTick(open, frontend, endpoint)
  return eventsOf(endpoint)
}

/** The 200 goes out alone; the target's bytes follow when it has left. */
function open(frontend: Frontend, endpoint: Endpoint): void {
  const { socket, deps, ended, received: early } = frontend
  if (socket.destroyed) return
  socket.write(established, (error) => {
    if (error) deps.metrics.dialFailed('send_rsp')
    if (!isUnixSocket(socket)) release(endpoint)
    else deps.clock.after(UDS_FIRST_BYTES_MS, () => release(endpoint))
  })
  frontend.received = NOTHING
  const mayRead = early.length > 0 ? readSocket(endpoint, early) : mayReadSocket(endpoint)
  if (!mayRead) socket.pause()
  else if (!socket.isPaused()) watchUnread(frontend, false)
  if (ended) socketEnded(endpoint)
  else if (mayRead) socket.resume()
}

/** FIN during a dial: a client that has sent something waits for the answer to it; one that has not went away. */
function clientEnded(frontend: Frontend): void {
  const { socket, state, received, endpoint } = frontend
  frontend.ended = true
  if (state === 'head') socket.destroy()
  else if (state === 'dialing' && received.length === 0) socket.destroy()
  else if (endpoint) socketEnded(endpoint)
}

function clientFailed(frontend: Frontend, error: NodeJS.ErrnoException): void {
  gone(frontend)
  const { endpoint } = frontend
  if (!endpoint) return
  // A client that is gone while its target takes nothing keeps its place no longer than it takes to notice.
  if (endpoint.connection && isStuckSocket(endpoint)) close(endpoint.connection, error.code ?? 'socket-error')
  else socketFailed(endpoint, error)
}

function gone(frontend: Frontend): void {
  endDeadline(frontend)
  if (frontend.state === 'dialing') frontend.cancelDial()
  if (frontend.state !== 'open') frontend.state = 'refused'
}

/** The tunnel may still have bytes of a client that has gone in good order. */
function clientClosed(frontend: Frontend): void {
  gone(frontend)
  unreadClientClosed(frontend)
  frontend.isClosed = true
  if (frontend.state === 'refused') leave(frontend)
  else if (frontend.endpoint) socketClosed(frontend.endpoint)
}

function leave(frontend: Frontend): void {
  if (frontend.served) frontend.deps.metrics.connectServed(-1)
  frontend.done(frontend)
}

function over(frontend: Frontend, ending: Ending): void {
  const { socket, deps, openedMs, isClosed } = frontend
  const { metrics, clock, log } = deps
  metrics.connectionEnded(clock.now() - openedMs, ending.kind)
  const forced = forcedBy(ending)
  if (forced) metrics.connectionForced(forced)
  if (isClosed) leave(frontend)
  else socket.once('close', () => leave(frontend))
  if (ending.kind === 'reset') log.debug({ by: ending.by, reason: ending.reason }, 'connection reset')
}

const nothingToCancel = (): void => {}

const isUnixSocket = (socket: Socket): boolean => !('encrypted' in socket) && socket.remoteFamily === undefined
