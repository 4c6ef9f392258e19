/**
 * Bounds what waits for sockets when the peer is a stock one, which knows no credit. Past the limits the carrier is not
 * read, as the reference does; a socket that then takes next to nothing is closed, alone, so that the others go on.
 * Pure. Source: docs/protocol.md section 3, last paragraph.
 */
import type { Carrier } from './carrier.ts'

/** Share of a stream's buffers at which it is not read on: before the limit itself, where connections are closed. */
export const PAUSE_SHARE = 3 / 4

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
  /**
   * Those that have taken too little for too long: of the ones over their own limit, and of all while the stream as a whole
   * is over its limit, which many small backlogs can bring about.
   */
  readonly slow: (nowMs: number) => W[]
}

export function createStockBacklog<W extends Waiting>(
  carrier: Carrier,
  limits: StockLimits,
  streamBacklog: () => number,
): StockBacklog<W> {
  const holders = new Set<W>() // those whose sockets have something to take
  const full = new Set<W>() // of these, those over their own limit
  const watched = new Map<W, Watch>()
  let reading = true

  const isCrowded = (): boolean => streamBacklog() > limits.streamBytes

  function steer(): void {
    const mayRead = full.size === 0 && !isCrowded()
    if (mayRead !== reading) carrier.read(mayRead)
    reading = mayRead
  }

  function forget(waiting: W): void {
    holders.delete(waiting)
    full.delete(waiting)
    watched.delete(waiting)
    steer()
  }

  return {
    changed(waiting, took, nowMs) {
      if (waiting.backlog === 0) return forget(waiting)
      holders.add(waiting)
      const watch = watched.get(waiting)
      if (watch) watch.took += took
      if (waiting.backlog > limits.connectionBytes) full.add(waiting)
      else if (waiting.backlog * 2 <= limits.connectionBytes) full.delete(waiting)
      if (full.has(waiting) && !watch) watched.set(waiting, { sinceMs: nowMs, took: 0 })
      steer()
    },
    forget,
    slow(nowMs) {
      const suspects = isCrowded() ? holders : full
      for (const waiting of watched.keys()) if (!suspects.has(waiting)) watched.delete(waiting)
      const found: W[] = []
      for (const waiting of suspects) {
        const watch = watched.get(waiting)
        if (watch && nowMs - watch.sinceMs < limits.slowMs) continue
        if (watch && watch.took < limits.slowBytes) found.push(waiting)
        watched.set(waiting, { sinceMs: nowMs, took: 0 })
      }
      return found
    },
  }
}
