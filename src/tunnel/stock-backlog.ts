/**
 * Bounds what waits for sockets when the peer is a stock one, which knows no credit. Past the limits the carrier is not
 * read, as the reference does; a socket that then takes next to nothing is closed, alone, so that the others go on.
 * Pure. Source: docs/protocol.md section 3, last paragraph.
 */
import type { Carrier } from './carrier.ts'

export type StockLimits = {
  /** Bytes that may wait for one socket, and for all sockets of the stream together. */
  readonly connectionBytes: number
  readonly streamBytes: number
  /** A socket over its limit must take this many bytes in this time. */
  readonly slowBytes: number
  readonly slowMs: number
}

type Waiting = { backlog: number }
type Watch = { sinceMs: number; took: number }

export type StockBacklog<W> = {
  /** The backlog of this one has changed, by `took` bytes downwards when it shrank. */
  readonly changed: (waiting: W, took: number, nowMs: number) => void
  readonly forget: (waiting: W) => void
  /** Those that are over their limit and have taken too little for too long. */
  readonly slow: (nowMs: number) => W[]
}

export function createStockBacklog<W extends Waiting>(
  carrier: Carrier,
  limits: StockLimits,
  streamBacklog: () => number,
): StockBacklog<W> {
  const over = new Map<W, Watch>()
  let reading = true

  function steer(): void {
    const mayRead = over.size === 0 && streamBacklog() <= limits.streamBytes
    if (mayRead !== reading) carrier.read(mayRead)
    reading = mayRead
  }

  return {
    changed(waiting, took, nowMs) {
      const watch = over.get(waiting)
      if (watch) watch.took += took
      if (waiting.backlog > limits.connectionBytes) {
        if (!watch) over.set(waiting, { sinceMs: nowMs, took: 0 })
      } else if (watch && waiting.backlog * 2 <= limits.connectionBytes) over.delete(waiting)
      steer()
    },
    forget(waiting) {
      over.delete(waiting)
      steer()
    },
    slow(nowMs) {
      const found: W[] = []
      for (const [waiting, watch] of over) {
        if (nowMs - watch.sinceMs < limits.slowMs) continue
        if (watch.took < limits.slowBytes) found.push(waiting)
        watch.sinceMs = nowMs
        watch.took = 0
      }
      return found
    },
  }
}
