/**
 * What came of the tries at one host, and from that how long to wait before the next. No I/O; the draw is an argument.
 * Source: docs/protocol.md section 8, docs/adr/0010, konnectivity's sync loop.
 */
import { type BackoffLimits, backoffCeilingMs, backoffMs } from '../../platform/backoff.ts'

/** Share of the interval by which looks are spread, so that agents do not move in step. */
const SPREAD = 0.1
/** Of the interval, before the next look where another server has just been found and more are said to be there. */
const EAGER_SHARE = 0.1
/** A server that stays for this long, or for the longest back-off where that is shorter, is no setback: milliseconds. */
const STAYS_MS = 30_000

export type HostTries = {
  /** Attempts in a row that nobody answered. */
  failures: number
  /** Servers in a row that were kept here and did not stay. */
  flaps: number
  /** Answers in a row by servers that were held already. */
  repeats: number
  lastId: string | undefined
  /** Two servers have answered here that were there at once: it is a balancer. */
  several: boolean
}

export type Eagerness = {
  /** Goes on at the same pace when the same servers answer again and again. */
  readonly forever: boolean
  /** Another server has just been found here, and more are said to be there. */
  readonly hasJustFound: boolean
}

export const noTries = (): HostTries => ({ failures: 0, flaps: 0, repeats: 0, lastId: undefined, several: false })

export function failed(tries: HostTries): void {
  tries.failures++
}

/** @param isHeld who was held before this answer */
export function answered(tries: HostTries, serverId: string, isHeld: (serverId: string) => boolean): void {
  const { lastId } = tries
  if (lastId !== undefined && lastId !== serverId && isHeld(lastId)) tries.several = true
  tries.failures = 0
  tries.lastId = serverId
  tries.repeats = isHeld(serverId) ? tries.repeats + 1 : 0
}

/** The last answer was by a server that was not held before, and is now. */
export const hasFound = ({ repeats, lastId }: HostTries, isHeld: (serverId: string) => boolean): boolean =>
  repeats === 0 && lastId !== undefined && isHeld(lastId)

/** A server that has answered here is held no more: what it answered in vain counts no longer. */
export function forgetRepeats(tries: HostTries): void {
  tries.repeats = 0
}

/** One that was kept here is held no more. A server that did not stay is a setback. */
export function released(tries: HostTries, stayedMs: number, { capMs }: BackoffLimits): void {
  tries.flaps = stayedMs >= Math.min(STAYS_MS, capMs) ? 0 : tries.flaps + 1
}

/** Its stream has ended, and others may have lost it too: they come back spread out. */
export function lost(tries: HostTries): void {
  if (tries.flaps === 0) tries.failures = Math.max(tries.failures, 1)
}

/** Until the next look when a server says that it leaves. @param askedMs what it asks for */
export function waitOfLeavingMs({ flaps }: HostTries, askedMs: number, limits: BackoffLimits, random: number): number {
  const heededMs = Math.min(limits.capMs, Math.max(0, askedMs))
  return flaps === 0 ? heededMs : Math.max(heededMs, backoffMs(flaps, limits, random))
}

/** Until the next look: milliseconds. @param random from 0 up to, not including, 1 */
export function waitMs(tries: HostTries, eagerness: Eagerness, limits: BackoffLimits, random: number): number {
  const { failures, flaps, repeats, several } = tries
  if (failures + flaps > 0) return backoffMs(failures + flaps, limits, random)
  const inVain = eagerness.forever || several ? 0 : repeats
  const share = eagerness.hasJustFound ? EAGER_SHARE : 1
  return share * backoffCeilingMs(inVain + 1, limits) * (1 + SPREAD * random)
}
