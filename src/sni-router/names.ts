/**
 * Names of backends to addresses, looked up again and again beside the dials and never for one. The machine's own resolver
 * runs in threads and cannot be cancelled: few lookups are under way at once, so that names which hang leave threads to others.
 */
import { lookup } from 'node:dns/promises'
import type { Clock } from '../platform/clock.ts'

/** Lookups under way at once. libuv gives them half of its threads: bin/launch.sh asks for more than twice as many. */
const MAX_LOOKUPS = 8

export type Answer = { readonly ips: readonly string[] } | { readonly error: Error }
export type Resolve = (name: string) => Promise<readonly string[]>

export const systemResolve: Resolve = async (name) =>
  (await lookup(name, { all: true, order: 'verbatim' })).map(({ address }) => address)

/** Disposing what it gives ends the lookups of that name. */
export type WatchName = (name: string, intervalMs: () => number, told: (answer: Answer) => void) => Disposable

export function createNames(clock: Clock, resolve: Resolve = systemResolve, most = MAX_LOOKUPS): WatchName {
  const waiting = new Set<() => Promise<void>>() // in the order in which they were asked for
  let underWay = 0

  function begin(): void {
    for (const look of waiting) {
      if (underWay >= most) return
      waiting.delete(look)
      underWay++
      void look().finally(() => {
        underWay--
        begin()
      })
    }
  }

  return (name, intervalMs, told) => {
    let timer: Disposable | undefined
    let over = false
    const look = async (): Promise<void> => {
      const answer = await resolve(name).then(
        (ips): Answer => ({ ips }),
        (error: Error): Answer => ({ error }),
      )
      if (over) return
      told(answer)
      timer = clock.after(intervalMs(), ask)
    }
    const ask = (): void => {
      waiting.add(look)
      begin()
    }
    ask()
    return {
      [Symbol.dispose]() {
        over = true
        waiting.delete(look)
        timer?.[Symbol.dispose]()
      },
    }
  }
}
