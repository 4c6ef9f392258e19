/**
 * Joins a socket to a tunnelled connection, the same way on both ends of the tunnel: bytes, back-pressure, half close, reset.
 * The third place in this folder that touches a socket; it decides nothing. Source: docs/protocol.md sections 3 to 5.
 */
import type { Socket } from 'node:net'
import type { Connection, ConnectionEvents, Ending } from './connection.ts'
import { close } from './ending.ts'
import { taken } from './receiving.ts'
import { breakOff, end, mayRead, send } from './sending.ts'
import { createWaitingPayloads, type WaitingPayloads } from './waiting-payloads.ts'

/** A socket that takes none of its last bytes for this long is given up: milliseconds. */
const FLUSH_TIMEOUT_MS = 60_000
/** A far socket that has taken nothing for this long is not waited for when a client is gone: milliseconds. */
const STUCK_MS = 2_000
/** What comes for a socket that has taken nothing for this long is kept in as little memory as it can be: milliseconds. */
const STALLED_MS = 100
/** How long a peer may go on sending when all is written: milliseconds. It is read and dropped, see `letGo`. */
const LINGER_MS = 10_000

/** Payload bytes since the start, both ways. */
export type ByteCount = { fromSockets: number; toSockets: number }

export type Timing = { readonly now: () => number; readonly wrote: (ms: number) => void }

export type EndpointOptions = {
  readonly socket: Socket
  /** The connection under it, where it is TLS. */
  readonly raw?: Socket
  readonly count: ByteCount
  /** Bytes from the tunnel wait until `release`. */
  readonly held: boolean
  /** Told how long the socket took to take what was written to it: one write at a time, so that bulk is sampled. */
  readonly timing?: Timing
  /** Default: a minute. Milliseconds. */
  readonly flushMs?: number
  /** The connection is over. The socket may still be writing out its last bytes. */
  readonly over: (ending: Ending) => void
}

/**
 * What comes behind the bytes that the socket has still to take: more of them; once the connection is over its close or, where the far
 * socket broke, its reset; and nothing when that is done.
 */
type Next = 'bytes' | 'close' | 'reset' | 'nothing'

/** An idle tunnel costs little more than this: what is known of it is here, what it does are plain functions. */
export type Endpoint = {
  readonly socket: Socket
  readonly raw: Socket | undefined
  readonly count: ByteCount
  readonly timing: Timing | undefined
  readonly flushMs: number
  readonly over: (ending: Ending) => void
  /** The socket has taken a write: one function for all of them. */
  readonly wrote: () => void
  /** The owner tells, before any byte is read. */
  connection: Connection | undefined
  /** Made when there is a need. */
  waiting: WaitingPayloads | undefined
  isHeld: boolean
  /** Behind what waits, and before what is next. */
  endWaits: boolean
  next: Next
  /** Bytes handed to the socket. */
  given: number
  /** Of these, written out. */
  took: number
  corked: boolean
  /** The write that is being timed, up to that byte. */
  timed: { readonly to: number; readonly sinceMs: number } | undefined
}

/**
 * The owner tells of the socket's end, error and close from now on, by `socketEnded` and so on or once by `followSocket`, and
 * of what it reads, by `readSocket`.
 */
export function createEndpoint(options: EndpointOptions): Endpoint {
  const { socket, raw, count, held, timing, flushMs = FLUSH_TIMEOUT_MS, over } = options
  const endpoint: Endpoint = {
    socket,
    raw,
    count,
    timing,
    flushMs,
    over,
    wrote: () => wrote(endpoint),
    connection: undefined,
    waiting: held ? createWaitingPayloads() : undefined,
    isHeld: held,
    endWaits: false,
    next: 'bytes',
    given: 0,
    took: 0,
    corked: false,
    timed: undefined,
  }
  return endpoint
}

/** What the connection's owner hears: pass it to `accept`, or return it from `connected`. */
export const eventsOf = (endpoint: Endpoint): ConnectionEvents => ({
  data: (bytes) => receive(endpoint, bytes),
  end: () => receiveEnd(endpoint),
  resume: () => endpoint.socket.resume(),
  pause: () => endpoint.socket.pause(),
  giveUp: () => reset(endpoint.socket),
  over: (ending) => finish(endpoint, ending),
})

/** Whether to begin to read; if not, that comes with `resume`. */
export const mayReadSocket = ({ connection }: Endpoint): boolean => connection !== undefined && mayRead(connection)

/** Bytes that the socket gave. @returns whether to read on */
export function readSocket(endpoint: Endpoint, bytes: Uint8Array): boolean {
  if (isOver(endpoint)) return true
  const { count, connection } = endpoint
  count.fromSockets += bytes.length
  return connection !== undefined && send(connection, bytes)
}

export function socketEnded({ connection }: Endpoint): void {
  if (connection) end(connection)
}

/** Of a socket that is not read because the far one has taken nothing for a while: what it held is not worth the wait. */
export function isStuckSocket({ connection, socket }: Endpoint): boolean {
  if (!connection || !socket.isPaused()) return false
  return connection.credit <= 0 && connection.link.nowMs - connection.activeMs >= STUCK_MS
}

/** What was read of it while it was paused lies in the stream, and goes first. */
export function socketFailed(endpoint: Endpoint, error: NodeJS.ErrnoException): void {
  const { socket, connection } = endpoint
  if (!connection) return
  const rest: Uint8Array | null = isOver(endpoint) ? null : socket.read()
  if (rest) readSocket(endpoint, rest)
  breakOff(connection, error.code ?? 'socket-error')
}

/**
 * Without an error it was its owner who closed it: nothing of a client that is cut off goes any further. With both directions
 * done, what the tunnel still holds of this socket's bytes is on its way: nothing to break.
 */
export function socketClosed({ connection, socket }: Endpoint): void {
  const done = socket.readableEnded && socket.writableFinished
  if (connection && !done && connection.broken === undefined) close(connection, 'socket-closed')
}

/** For an owner that has no use of its own for what becomes of the socket. */
export function followSocket(endpoint: Endpoint): void {
  const { socket } = endpoint
  socket.on('end', () => socketEnded(endpoint))
  socket.on('error', (error) => socketFailed(endpoint, error))
  socket.on('close', () => socketClosed(endpoint))
}

/** Lets the target's bytes through, which wait until then. */
export function release(endpoint: Endpoint): void {
  const { socket } = endpoint
  const pieces = endpoint.waiting?.take() ?? []
  const give = endpoint.isHeld ? write : put // what came while another write was timed is not
  endpoint.waiting = undefined
  endpoint.isHeld = false
  socket.cork()
  for (const piece of pieces) give(endpoint, piece)
  socket.uncork()
  if (endpoint.endWaits) socket.end()
  letGo(endpoint) // a second time when the owner's own bytes, which a reset waits for as well, are written
}

function receive(endpoint: Endpoint, bytes: Uint8Array): void {
  endpoint.count.toSockets += bytes.length
  if (!endpoint.waiting && isStuck(endpoint)) endpoint.waiting = createWaitingPayloads()
  if (endpoint.waiting) endpoint.waiting.push(bytes, isStalled(endpoint))
  else write(endpoint, bytes)
}

function receiveEnd(endpoint: Endpoint): void {
  if (endpoint.waiting) endpoint.endWaits = true
  else endpoint.socket.end()
}

function finish(endpoint: Endpoint, ending: Ending): void {
  if (ending.kind === 'reset' && !ending.inOrder) reset(endpoint.socket)
  else {
    endpoint.next = ending.kind === 'reset' ? 'reset' : 'close'
    if (!endpoint.waiting) letGo(endpoint)
    else if (!endpoint.isHeld) expectLastBytes(endpoint) // what waits has the time that the last write would have
  }
  endpoint.over(ending)
}

function wrote(endpoint: Endpoint): void {
  const { socket, connection, timing, timed, given, took } = endpoint
  const now = given - socket.writableLength
  endpoint.took = now
  if (now > took && connection) taken(connection, now - took)
  if (timing && timed && now >= timed.to && !socket.destroyed) timing.wrote(timing.now() - timed.sinceMs)
  if (timed && now >= timed.to) endpoint.timed = undefined
  if (endpoint.waiting && !endpoint.isHeld && socket.writableLength === 0 && !socket.destroyed) release(endpoint)
  else if (endpoint.next === 'reset') resetWhenWritten(endpoint)
}

/** All payloads of one turn leave in one write. */
function write(endpoint: Endpoint, bytes: Uint8Array): void {
  const { socket, timing } = endpoint
  if (!endpoint.corked) {
    endpoint.corked = true
    socket.cork()
    setImmediate(uncork, endpoint)
    if (timing && !endpoint.timed) {
      endpoint.timed = { to: endpoint.given + bytes.length, sinceMs: timing.now() }
    }
  }
  put(endpoint, bytes)
}

function uncork(endpoint: Endpoint): void {
  endpoint.corked = false
  endpoint.socket.uncork()
}

function put(endpoint: Endpoint, bytes: Uint8Array): void {
  endpoint.given += bytes.length
  endpoint.socket.write(bytes, endpoint.wrote)
}

/** Behind a write of an earlier turn that the socket has not finished. */
const isStuck = ({ corked, socket }: Endpoint): boolean => !corked && socket.writableLength > 0

const isStalled = ({ connection }: Endpoint): boolean =>
  connection !== undefined && connection.link.nowMs - connection.tookMs >= STALLED_MS

/** What the socket still sends is for nobody. */
const isOver = ({ next }: Endpoint): boolean => next !== 'bytes'

/** Of a socket that will be reset nothing more is read: that would count as life of one that takes nothing. */
function expectLastBytes({ socket, next, flushMs }: Endpoint): void {
  if (next === 'reset') socket.pause()
  socket.setTimeout(flushMs, () => reset(socket))
}

/**
 * Writes out the last bytes and closes. A peer that still sends, which only a stock close allows, is read meanwhile:
 * bytes left unread would turn the close into a reset, which overtakes the last bytes.
 */
function letGo(endpoint: Endpoint): void {
  const { socket, next } = endpoint
  if (next !== 'close' && next !== 'reset') return
  expectLastBytes(endpoint)
  if (next === 'reset') return resetWhenWritten(endpoint)
  endpoint.next = 'nothing'
  if (socket.readableEnded) return socket.destroySoon()
  socket.resume()
  socket.end(() => linger(socket))
}

function linger(socket: Socket): void {
  if (socket.destroyed) return
  const patience = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(patience))
}

/**
 * The far socket was reset, and so is this one when it has taken what came before. TLS has no reset of its own: the connection under
 * it ends without a close_notify, and what its peer still sends is read then, as by `letGo`.
 */
function resetWhenWritten(endpoint: Endpoint): void {
  const { socket, raw } = endpoint
  if (socket.destroyed || socket.writableLength > 0) return
  endpoint.next = 'nothing'
  if (!raw || raw === socket || socket.readableEnded) return reset(socket)
  if (!socket.writableEnded) raw.end()
  socket.resume()
  socket.once('end', () => socket.destroy()) // nothing else ends one whose own side was never ended
  linger(socket)
}

/**
 * A broken connection must not look like a finished one: a TCP peer gets RST, not FIN; TLS gets no close_notify. Once our
 * FIN is out, behind the last byte, libuv refuses to reset and Node then leaves the descriptor open: there it is a plain close.
 */
export function reset(socket: Socket): void {
  const plainTcp = !('encrypted' in socket) && socket.remoteFamily !== undefined
  const finIsOut = socket.writableEnded && socket.writableLength === 0
  if (plainTcp && !socket.destroyed && !finIsOut) socket.resetAndDestroy()
  else socket.destroy()
}
