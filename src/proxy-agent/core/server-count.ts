/** How many servers there are, by whom the agent believes. Pure. Source: konnectivity's --server-count-source. */
import type { WantedCount } from './server-set.ts'

/** @param countLeases of the servers that hold one; none: leases are not counted, and the servers alone are believed */
export function serverCount(source: '' | 'default' | 'max', countLeases: (() => number) | undefined): WantedCount {
  if (!countLeases) return (reported) => reported
  return source === 'max' ? (reported) => Math.max(countLeases(), reported) : () => countLeases()
}
