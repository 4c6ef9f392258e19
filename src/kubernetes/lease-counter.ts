/**
 * Follows the leases of the servers in the API server: lists them, watches what changes, lists again when one expires or the
 * watch fails. What counts is decided in core/lease-census.ts.
 */
import { backoffMs } from '../platform/backoff.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { ApiError } from './api-error.ts'
import { createLeaseCensus } from './core/lease-census.ts'
import type { Lease } from './lease.ts'
import { type Answered, timed } from './lease-collector.ts'
import type { Leases } from './leases.ts'

const BACKOFF = { baseMs: 1_000, capMs: 30_000 }
/** The API server ends a watch after this, spread so that agents do not come back together. */
const WATCH_MS = 300_000
const WATCH_SPREAD = 0.5
/** No list follows another, and no watch another, in less: a lease may expire as it arrives, where clocks differ. */
const SHORTEST_MS = 1_000
/** Longest time between two looks at what expires next. */
const LOOK_MS = 60_000

export type CounterMetrics = { readonly listed: Answered; readonly watched: Answered }

export type LeaseCounter = Disposable & {
  /** Valid leases, at least 1; while the API server is not to be reached, what was last known. */
  readonly count: () => number
  /** Those leases. */
  readonly leases: () => readonly Lease[]
  /** Whether the last that was asked of the API server was answered. */
  readonly isCurrent: () => boolean
}

export type CounterDeps = {
  readonly leases: Leases
  readonly selector: string
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly log: Log
  readonly metrics: CounterMetrics
  /** Something was heard of the leases: they may be others than before. */
  readonly heard?: () => void
}

/** Begins at once; disposing ends it. */
export function countLeases(deps: CounterDeps): LeaseCounter {
  const { leases, selector, clock, random, log, metrics, heard = () => undefined } = deps
  const census = createLeaseCensus<Lease>()
  const stop = new AbortController()
  let state: 'unknown' | 'current' | 'failing' = 'unknown'
  let timer: Disposable | undefined

  async function follow(): Promise<void> {
    let failures = 0
    while (!stop.signal.aborted) {
      try {
        let version: string | undefined = await list()
        while (version !== undefined) version = await watch(version)
        failures = 0
      } catch (error) {
        if (stop.signal.aborted) return
        failures++
        fail(error as Error)
        await pause(backoffMs(failures, BACKOFF, random()))
      }
    }
  }

  /** The version to watch from. */
  async function list(): Promise<string> {
    const found = await timed(clock, metrics.listed, leases.list(selector, stop.signal))
    census.listed(found.leases, clock.unixMs())
    if (state !== 'current') log.info({ count: census.count() }, 'leases are counted')
    state = 'current'
    heard()
    return found.resourceVersion
  }

  /** The version to go on from when the API server ended it; undefined when a lease has expired: whoever lists knows more. */
  async function watch(from: string): Promise<string | undefined> {
    const expired = new AbortController()
    const startMs = clock.now()
    let resourceVersion = from
    wakeAtExpiry(() => expired.abort())
    try {
      await leases.watch({
        selector,
        resourceVersion,
        watchMs: WATCH_MS * (1 - WATCH_SPREAD * random()),
        opened: () => metrics.watched(clock.now() - startMs, 200, ''),
        changed({ kind, lease }) {
          resourceVersion = lease.resourceVersion
          if (kind === 'changed') census.changed(lease, clock.unixMs())
          if (kind === 'removed') census.removed(lease.name)
          if (kind !== 'none') heard()
        },
        signal: AbortSignal.any([stop.signal, expired.signal]),
      })
      if (clock.now() - startMs < SHORTEST_MS) throw new Error('the API server ends each watch at once')
      return resourceVersion
    } catch (error) {
      if (expired.signal.aborted) return undefined
      if (error instanceof ApiError && error.status !== undefined) {
        metrics.watched(clock.now() - startMs, error.status, error.reason)
      }
      throw error
    } finally {
      timer?.[Symbol.dispose]()
    }
  }

  /** Renewals move the expiry, so it is looked at again when the time has come. */
  function wakeAtExpiry(wake: () => void): void {
    const look = (): void => {
      const leftMs = census.nextExpiryUnixMs() - clock.unixMs()
      if (leftMs <= 0) wake()
      else timer = clock.after(Math.min(leftMs, LOOK_MS), look)
    }
    timer = clock.after(SHORTEST_MS, look)
  }

  function fail(error: Error): void {
    if (state !== 'failing') {
      log.warn({ count: census.count(), reason: error.message }, 'leases cannot be counted, the last count stays')
    }
    state = 'failing'
  }

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      timer = clock.after(ms, resolve)
    })

  void follow()
  return {
    count: census.count,
    leases: census.all,
    isCurrent: () => state === 'current',
    [Symbol.dispose]() {
      stop.abort()
      timer?.[Symbol.dispose]()
    },
  }
}
