/**
 * The receiver's side of credit: how much a sender may still send, when to grant more, when the window grows and shrinks.
 * Pure. Source: docs/protocol.md section 3.
 */
import { READ_BYTES } from './carrier.ts'

/** Credit of both directions when a connection opens: bytes; a constant of flow-control/1. */
export const INITIAL_WINDOW_BYTES = 64 * 1024
export const MAX_WINDOW_BYTES = 2 * 1024 * 1024
/** Where the round trip is long, a window of 2 MiB would be the limit of the path: 16 MiB carry 320 MB/s over 50 ms. */
export const MAX_LONG_PATH_WINDOW_BYTES = 16 * 1024 * 1024

export type Window = {
  /** Bytes that the sender may have under way. */
  size: number
  /** Bytes that the sender may still send; below zero by one read at most. */
  allowance: number
  /** Bytes taken that were not granted again yet; below zero while a shrunk window is being paid off. */
  owed: number
}

export const createWindow = (): Window => ({ size: INITIAL_WINDOW_BYTES, allowance: INITIAL_WINDOW_BYTES, owed: 0 })

/** @returns false when the sender has sent more than its credit and one read */
export function arrive(window: Window, bytes: number): boolean {
  window.allowance -= bytes
  return window.allowance >= -READ_BYTES
}

/** The socket took bytes. @returns the credit to grant now, 0 for none yet */
export function take(window: Window, bytes: number): number {
  window.owed += bytes
  return window.owed * 4 >= window.size ? grant(window) : 0
}

/**
 * The sender says that it ran out. A reader that has taken nearly all that came is not what holds it up: the window is.
 *
 * @param backlog bytes received that the socket has not taken
 * @returns the bytes by which the window should grow, if there is room for them; 0 for none
 */
export function wantedGrowth(window: Window, backlog: number, maxBytes: number): number {
  if (window.size >= maxBytes || backlog * 2 >= window.size) return 0
  return Math.min(window.size, maxBytes - window.size)
}

/** @returns the credit to grant now */
export function grow(window: Window, bytes: number): number {
  window.owed += bytes
  window.size += bytes
  return grant(window)
}

/** Takes a grown window back to its first size: what was granted above it is not granted again. @returns by how many bytes */
export function shrink(window: Window): number {
  const grown = window.size - INITIAL_WINDOW_BYTES
  window.owed -= grown
  window.size = INITIAL_WINDOW_BYTES
  return grown
}

function grant(window: Window): number {
  if (window.owed <= 0) return 0
  const credit = window.owed
  window.allowance += credit
  window.owed = 0
  return credit
}
