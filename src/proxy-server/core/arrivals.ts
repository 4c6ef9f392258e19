/**
 * The first time of a replica, in which agents that will come have not come yet: a dial whose cluster has nobody waits for an
 * agent of it then, and fails no more than it would on a replica that is older. Pure but for the clock that it is given.
 */
import type { Clock } from '../../platform/clock.ts'

export type Arrivals = {
  /** An agent of that cluster has come. */
  readonly arrived: (cluster: string) => void
  /**
   * Calls back once, when an agent of the cluster has come, or when the first time is over.
   *
   * @returns what ends the wait; undefined: the first time is over, nobody is waited for
   */
  readonly wait: (cluster: string, then: () => void) => Disposable | undefined
}

/** @param forMs from now on */
export function createArrivals(forMs: number, clock: Pick<Clock, 'now' | 'after'>): Arrivals {
  const untilMs = clock.now() + forMs
  const waiting = new Map<string, Set<() => void>>()

  return {
    arrived(cluster) {
      for (const wake of [...(waiting.get(cluster) ?? [])]) wake()
    },
    wait(cluster, then) {
      const leftMs = untilMs - clock.now()
      if (leftMs <= 0) return undefined
      const all = waiting.get(cluster) ?? new Set()
      waiting.set(cluster, all)
      const timer = clock.after(leftMs, wake)
      function wake(): void {
        end()
        then()
      }
      function end(): void {
        timer[Symbol.dispose]()
        all.delete(wake)
        if (all.size === 0 && waiting.get(cluster) === all) waiting.delete(cluster)
      }
      all.add(wake)
      return { [Symbol.dispose]: end }
    },
  }
}
