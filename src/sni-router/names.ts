/**
 * Names of backends to addresses, looked up again and again beside the dials and never for one. The machine's own resolver
 * runs in threads and cannot be cancelled: few lookups are under way at once, and those of names that hung the last time have half
 * of the places at most, so that they leave threads to others.
 */
import { lookup } from 'node:dns/promises'
import type { Clock } from '../platform/clock.ts'
import { createTurns } from './turns.ts'

/** Lookups under way at once. libuv gives them half of its threads: bin/launch.sh asks for more than twice as many. */
const MAX_LOOKUPS = 8
/** A lookup that takes longer than this hangs: milliseconds. */
const HUNG_MS = 1_000

export type Answer = { readonly ips: readonly string[] } | { readonly error: Error }
export type Resolve = (name: string) => Promise<readonly string[]>

export const systemResolve: Resolve = async (name) =>
  (await lookup(name, { all: true, order: 'verbatim' })).map(({ address }) => address)

/** Disposing what it gives ends the lookups of that name. */
export type WatchName = (name: string, intervalMs: () => number, told: (answer: Answer) => void) => Disposable

export function createNames(clock: Clock, resolve: Resolve = systemResolve, most = MAX_LOOKUPS): WatchName {
  const turns = createTurns(most)
  const turnsOfHung = createTurns(Math.ceil(most / 2))

  return (name, intervalMs, told) => {
    let next: Disposable // a lookup or the wait for its turn, or the wait for the next
    let hasHung = false
    let isOver = false

    async function look(): Promise<void> {
      const sinceMs = clock.now()
      const answer = await resolve(name).then(
        (ips): Answer => ({ ips }),
        (error: Error): Answer => ({ error }),
      )
      if (isOver) return
      hasHung = clock.now() - sinceMs > HUNG_MS
      next = clock.after(intervalMs(), ask)
      told(answer)
    }
    /** Its place is taken until there is an answer, whether anybody still waits for that or not. */
    function begin(done: () => void): Disposable {
      let isBegun = false
      const turn = turns((free) => {
        isBegun = true
        void look().finally(() => {
          free()
          done()
        })
        return nothing
      })
      return {
        [Symbol.dispose]() {
          turn[Symbol.dispose]()
          if (!isBegun) done()
        },
      }
    }
    function ask(): void {
      next = hasHung ? turnsOfHung(begin) : begin(() => {})
    }

    ask()
    return {
      [Symbol.dispose]() {
        isOver = true
        next[Symbol.dispose]()
      },
    }
  }
}

const nothing: Disposable = { [Symbol.dispose]() {} }
