/**
 * Joins a socket to a tunnelled connection, the same way on both ends of the tunnel: bytes, back-pressure, half close, reset.
 * The third place in this folder that touches a socket; it decides nothing. Source: docs/protocol.md sections 3 to 5.
 */
import type { Socket } from 'node:net'
import type { Connection, ConnectionEvents, Ending } from './connection.ts'
import { close } from './ending.ts'
import { taken } from './receiving.ts'
import { end, mayRead, send } from './sending.ts'
import { createWaitingPayloads, type WaitingPayloads } from './waiting-payloads.ts'

/** A finished connection whose socket takes none of its last bytes for this long is given up: milliseconds. */
const FLUSH_TIMEOUT_MS = 60_000
/** What comes for a socket that has taken nothing for this long is kept in as little memory as it can be: milliseconds. */
const STALLED_MS = 100
/** How long a peer may go on sending after a stock close: milliseconds. It is read and dropped, see `letGo`. */
const LINGER_MS = 10_000

/** Payload bytes since the start, both ways. */
export type ByteCount = { fromSockets: number; toSockets: number }

export type Endpoint = {
  /** What the connection's owner hears: pass it to `accept`, or return it from `connected`. */
  readonly events: ConnectionEvents
  /** Tells the endpoint which connection it belongs to; before any byte is read. */
  readonly attach: (connection: Connection) => void
  /** Whether to begin to read; if not, that comes with `resume`. */
  readonly mayRead: () => boolean
  /** Bytes that the socket gave. @returns whether to read on */
  readonly read: (bytes: Uint8Array) => boolean
  /** The socket ended before the endpoint was made. */
  readonly ended: () => void
  /** Lets the target's bytes through, which wait until then. */
  readonly release: () => void
}

export type EndpointOptions = {
  readonly socket: Socket
  readonly count: ByteCount
  /** Bytes from the tunnel wait until `release`. */
  readonly held: boolean
  /** Told how long the socket took to take what was written to it: one write at a time, so that bulk is sampled. */
  readonly timing?: { readonly now: () => number; readonly wrote: (ms: number) => void }
  /** The connection is over. The socket may still be writing out its last bytes. */
  readonly over: (ending: Ending) => void
}

/** Owns the socket's end, error and close from now on; reading is the caller's, through `read`. */
export function createEndpoint({ socket, count, held, timing, over }: EndpointOptions): Endpoint {
  let connection: Connection | undefined
  let waiting: WaitingPayloads | undefined = held ? createWaitingPayloads() : undefined // made when there is a need
  let isHeld = held
  let endWaits = false
  let finished: 'no' | 'held' | 'yes' = 'no'
  let given = 0 // bytes handed to the socket
  let took = 0 // of these, written out
  let corked = false
  let timed: { readonly to: number; readonly sinceMs: number } | undefined // the write that is being timed, up to that byte

  function wrote(): void {
    const now = given - socket.writableLength
    const fresh = now - took
    took = now
    if (fresh > 0 && connection) taken(connection, fresh)
    if (timing && timed && took >= timed.to && !socket.destroyed) timing.wrote(timing.now() - timed.sinceMs)
    if (timed && took >= timed.to) timed = undefined
    if (waiting && !isHeld && socket.writableLength === 0 && !socket.destroyed) release()
  }

  function uncork(): void {
    corked = false
    socket.uncork()
  }

  /** All payloads of one turn leave in one write. */
  function write(bytes: Uint8Array): void {
    if (!corked) {
      corked = true
      socket.cork()
      setImmediate(uncork)
      if (timing && !timed) timed = { to: given + bytes.length, sinceMs: timing.now() }
    }
    put(bytes)
  }

  function put(bytes: Uint8Array): void {
    given += bytes.length
    socket.write(bytes, wrote)
  }

  /** Behind a write of an earlier turn that the socket has not finished. */
  const isStuck = (): boolean => !corked && socket.writableLength > 0

  const isStalled = (): boolean => connection !== undefined && connection.link.nowMs - connection.tookMs >= STALLED_MS

  const events: ConnectionEvents = {
    data(bytes) {
      count.toSockets += bytes.length
      if (!waiting && isStuck()) waiting = createWaitingPayloads()
      if (waiting) waiting.push(bytes, isStalled())
      else write(bytes)
    },
    end() {
      if (waiting) endWaits = true
      else socket.end()
    },
    resume: () => socket.resume(),
    pause: () => socket.pause(),
    giveUp: () => reset(socket),
    over(ending) {
      if (ending.kind === 'reset') reset(socket)
      else if (waiting) letGoLater()
      else letGo()
      over(ending)
    },
  }

  function release(): void {
    const pieces = waiting?.take() ?? []
    const give = isHeld ? write : put // what came while another write was timed is not
    waiting = undefined
    isHeld = false
    socket.cork()
    for (const piece of pieces) give(piece)
    socket.uncork()
    if (endWaits) socket.end()
    if (finished === 'held') letGo()
  }

  /** What waits is written first. It has the time that the last write would have. */
  function letGoLater(): void {
    finished = 'held'
    if (!isHeld) socket.setTimeout(FLUSH_TIMEOUT_MS, () => socket.destroy())
  }

  /**
   * Writes out the last bytes and closes. A peer that still sends, which only a stock close allows, is read meanwhile:
   * bytes left unread would turn the close into a reset, which overtakes the last bytes.
   */
  function letGo(): void {
    finished = 'yes'
    socket.setTimeout(FLUSH_TIMEOUT_MS, () => socket.destroy())
    if (socket.readableEnded) return socket.destroySoon()
    socket.resume()
    socket.end(() => {
      if (socket.destroyed) return
      const patience = setTimeout(() => socket.destroy(), LINGER_MS)
      socket.once('close', () => clearTimeout(patience))
    })
  }

  socket.on('end', () => connection && end(connection))
  socket.on('error', (error: NodeJS.ErrnoException) => connection && close(connection, error.code ?? 'socket-error'))
  socket.on('close', () => {
    // With both directions done, what the tunnel still holds of this socket's bytes is on its way: nothing to break.
    const done = socket.readableEnded && socket.writableFinished
    if (connection && !done) close(connection, 'socket-closed')
  })

  return {
    events,
    attach(to) {
      connection = to
    },
    mayRead: () => connection !== undefined && mayRead(connection),
    read(bytes) {
      if (finished === 'yes') return true
      count.fromSockets += bytes.length
      return connection !== undefined && send(connection, bytes)
    },
    ended: () => connection && end(connection),
    release,
  }
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
