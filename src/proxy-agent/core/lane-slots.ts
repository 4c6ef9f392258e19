/**
 * The lanes that one link has or wants, each in a slot of its own: who may try to open one, and when again after it failed.
 * Pure. Source: docs/protocol.md section 10.
 */
import { backoffMs } from '../../platform/backoff.ts'

/** A server that gives no token within this time gives none: milliseconds. */
export const ASK_TIMEOUT_MS = 10_000
/** Failures in a row after which a slot is left alone for long: behind a balancer each attempt may meet another server. */
export const FEW_TRIES = 8
export const REST_MS = 600_000
const BACKOFF = { baseMs: 500, capMs: 60_000 }
/** A lane that stood for this long was a good one: milliseconds. */
const STEADY_MS = 60_000

export type Slot = {
  /** Asked: for a token. Joining: there is one, and its connection is being made. */
  state: 'empty' | 'asked' | 'joining' | 'open'
  sinceMs: number
  failures: number
  notBeforeMs: number
}

export const emptySlot = (): Slot => ({ state: 'empty', sinceMs: 0, failures: 0, notBeforeMs: 0 })

/** The first so many of the slots, those among them that may ask for a token now. */
export function slotsToAsk(slots: readonly Slot[], wanted: number, nowMs: number): Slot[] {
  return slots.slice(0, wanted).filter(({ state, sinceMs, notBeforeMs }) => {
    if (state === 'asked') return nowMs - sinceMs >= ASK_TIMEOUT_MS
    return state === 'empty' && nowMs >= notBeforeMs
  })
}

/** When the next of them may try again after a failure: milliseconds; Infinity where none has to wait. */
export function nextTryMs(slots: readonly Slot[], wanted: number, nowMs: number): number {
  const failed = slots.slice(0, wanted).filter(({ state, notBeforeMs }) => state === 'empty' && notBeforeMs > nowMs)
  return Math.min(...failed.map(({ notBeforeMs }) => notBeforeMs))
}

export function enter(slot: Slot, state: 'asked' | 'joining' | 'open', nowMs: number): void {
  slot.state = state
  slot.sinceMs = nowMs
}

/** It is closed because nothing used it. */
export function empty(slot: Slot): void {
  slot.state = 'empty'
  slot.failures = 0
}

/** The lane was lost, or did not come to be. @param random from 0 up to, not including, 1 */
export function fail(slot: Slot, nowMs: number, random: number): void {
  const steady = slot.state === 'open' && nowMs - slot.sinceMs >= STEADY_MS
  slot.failures = steady ? 1 : slot.failures + 1
  slot.state = 'empty'
  slot.notBeforeMs = nowMs + (slot.failures >= FEW_TRIES ? REST_MS : backoffMs(slot.failures, BACKOFF, random))
}
