/**
 * Deletes the leases of servers that ended without a word. Every server does so; whoever is second finds it gone. A lease that
 * was renewed in between has another version, and stays.
 */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { ApiError } from './api-error.ts'
import type { Lease } from './lease.ts'
import type { Leases } from './leases.ts'

/** Konnectivity's. */
const COLLECT_MS = 15_000

/** An answer of the API server, whichever: its HTTP status and Kubernetes' word for it. */
export type Answered = (ms: number, status: number, reason: string) => void
export type CollectorMetrics = {
  readonly listed: Answered
  readonly deleted: Answered
  readonly culled: () => void
}

export type CollectorDeps = {
  readonly leases: Leases
  /** Of the leases of all servers. */
  readonly selector: string
  /** Left alone, even expired: they are about to be renewed. */
  readonly ownNames: readonly string[]
  readonly clock: Clock
  readonly log: Log
  readonly metrics: CollectorMetrics
}

/** Begins at once; disposing ends it. */
export function collectLeases({ leases, selector, ownNames, clock, log, metrics }: CollectorDeps): Disposable {
  let failing = false
  let timer: Disposable | undefined
  let ended = false

  async function round(): Promise<void> {
    try {
      const list = await timed(clock, metrics.listed, leases.list(selector))
      const expired = list.leases.filter(
        (lease) => !ownNames.includes(lease.name) && lease.expiresUnixMs <= clock.unixMs(),
      )
      for (const lease of expired) await collect(lease)
      if (failing) log.info({}, 'expired leases are collected again')
      failing = false
    } catch (error) {
      if (!failing) log.warn({ reason: (error as Error).message }, 'expired leases cannot be collected, trying on')
      failing = true
    }
    if (!ended) timer = clock.after(COLLECT_MS, () => void round())
  }

  async function collect(lease: Lease): Promise<void> {
    try {
      await timed(clock, metrics.deleted, leases.remove(lease.name, lease))
      metrics.culled()
      log.info({ lease: lease.name }, 'expired lease collected')
    } catch (error) {
      const status = error instanceof ApiError ? error.status : undefined
      if (status !== 404 && status !== 409) throw error // else another server was first, or it was renewed
    }
  }

  void round()
  return {
    [Symbol.dispose]() {
      ended = true
      timer?.[Symbol.dispose]()
    },
  }
}

/** Tells of every answer, and of none where none came. */
export async function timed<T>(clock: Clock, answered: Answered, work: Promise<T>): Promise<T> {
  const startMs = clock.now()
  try {
    const value = await work
    answered(clock.now() - startMs, 200, '')
    return value
  } catch (error) {
    if (error instanceof ApiError && error.status !== undefined) {
      answered(clock.now() - startMs, error.status, error.reason)
    }
    throw error
  }
}
