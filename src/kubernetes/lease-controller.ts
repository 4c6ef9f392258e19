/** Keeps a server's lease in the API server while the server runs. What to do when is decided in core/lease-keeping.ts. */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { ApiError } from './api-error.ts'
import type { Labels } from './core/labels.ts'
import { beginning, LEASE_DURATION_S, type LeaseKeepingEvent, type LeaseOrder, step } from './core/lease-keeping.ts'
import type { Lease, LeasedReplica, OwnLease } from './lease.ts'
import type { Leases } from './leases.ts'

/** Requests of one renewal, each after an answer that somebody else has changed the lease. */
const MAX_TRIES = 5

export type LeaseController = {
  /** Gives the lease up: it is not renewed any more, and removed. Fulfilled when it is gone or cannot be removed. */
  readonly withdraw: () => Promise<void>
  /** Whether others see it as valid. */
  readonly isHeld: () => boolean
}

export type LeaseControllerDeps = {
  readonly leases: Leases
  readonly name: string
  readonly holder: string
  readonly labels: Labels
  /** How agents reach the holder; none: it does not say. */
  readonly replica?: LeasedReplica | undefined
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly log: Log
  readonly renewed: (outcome: 'renewed' | 'failed') => void
}

/** Begins at once. */
export function keepLease({ leases, clock, log, ...deps }: LeaseControllerDeps): LeaseController {
  const { name, holder, labels, replica } = deps
  const own: OwnLease = {
    name,
    holder,
    labels,
    replica,
    durationSeconds: LEASE_DURATION_S,
    acquiredUnixMs: clock.unixMs(),
  }
  const gone = Promise.withResolvers<void>()
  let keeping = beginning
  let known: Lease | undefined
  let timer: Disposable | undefined
  let lastError = ''

  function tell(event: LeaseKeepingEvent): void {
    const [next, ...orders] = step(keeping, event, deps.random())
    keeping = next
    for (const order of orders) perform(order)
  }

  function perform(order: LeaseOrder): void {
    switch (order.do) {
      case 'renew':
        return void report(renew(), 'renewed', 'renewal-failed')
      case 'remove':
        return void report(remove(), 'removed', 'removal-failed')
      case 'timer-after':
        timer = clock.after(order.ms, () => tell('timer'))
        return
      case 'stop-timer':
        return timer?.[Symbol.dispose]()
      case 'say-lost':
        return log.warn({ lease: name, reason: lastError }, 'lease not renewed, trying on')
      case 'say-kept':
        return log.info({ lease: name }, 'lease renewed again')
      case 'say-gone':
        log.info({ lease: name }, 'lease withdrawn')
        return gone.resolve()
      case 'say-left':
        log.warn({ lease: name, reason: lastError }, 'lease not withdrawn, it will expire')
        return gone.resolve()
      default:
        order satisfies never
    }
  }

  async function report(work: Promise<void>, well: LeaseKeepingEvent, badly: LeaseKeepingEvent): Promise<void> {
    const error = await work.then(
      () => undefined,
      (cause: Error) => cause,
    )
    lastError = error?.message ?? ''
    if (well === 'renewed') deps.renewed(error ? 'failed' : 'renewed')
    tell(error ? badly : well)
  }

  async function renew(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const nowUnixMs = clock.unixMs()
      try {
        known = known ? await leases.replace(own, nowUnixMs, known) : await leases.create(own, nowUnixMs)
        return
      } catch (error) {
        const status = error instanceof ApiError ? error.status : undefined
        if (tries === MAX_TRIES || (status !== 404 && status !== 409)) throw error
        known = status === 404 ? undefined : await stored()
      }
    }
  }

  /** What is there under our name: of an earlier run, or changed by somebody. */
  function stored(): Promise<Lease | undefined> {
    return leases.get(name).catch((error) => (isMissing(error) ? undefined : Promise.reject(error)))
  }

  async function remove(): Promise<void> {
    await leases.remove(name).catch((error) => (isMissing(error) ? undefined : Promise.reject(error)))
    known = undefined
  }

  perform({ do: 'renew' })
  return {
    withdraw() {
      tell('withdraw')
      return gone.promise
    },
    isHeld: () => known !== undefined && known.expiresUnixMs > clock.unixMs(),
  }
}

const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404
