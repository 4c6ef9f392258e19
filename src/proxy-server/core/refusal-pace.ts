/**
 * How long those that are over a limit of their cluster wait for that answer, or for the hang-up. Who asks again at once cannot ask, and
 * have the server shake hands, more often than refusals leave: a cluster that floods would else take the processor from all others.
 * Pure: time is an argument. Source: docs/tenancy.md.
 */

/** The shortest wait: milliseconds. */
export const SHORTEST_REFUSAL_MS = 1_000
/** Between two refusals of a cluster while it asks for more. */
export const REFUSAL_EVERY_MS = 100
/** The longest wait, well below the 30 s that a kube-apiserver has for a dial. Those beyond it leave together. */
export const LONGEST_REFUSAL_MS = 10_000

/** @param nowMs monotonic @returns the wait of who is refused now: milliseconds */
export type NextRefusal = (nowMs: number) => number

export function refusalPace(): NextRefusal {
  let lastMs = Number.NEGATIVE_INFINITY
  return (nowMs) => {
    lastMs = Math.min(Math.max(nowMs + SHORTEST_REFUSAL_MS, lastMs + REFUSAL_EVERY_MS), nowMs + LONGEST_REFUSAL_MS)
    return lastMs - nowMs
  }
}
