/**
 * Names to addresses, by the machine's own resolver: it knows /etc/hosts, search domains and whatever else the machine is set
 * up with. It runs in threads and cannot be cancelled, so equal names share one lookup, and a name that hangs holds one place.
 */
import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'

/** Lookups under way at once. libuv gives them half of its threads: bin/launch.sh asks for twice as many as these. */
const MAX_LOOKUPS = 16

export type Addresses = readonly LookupAddress[]
export type Resolve = (name: string) => Promise<Addresses>

/** @param signal nobody waits for the answer any more; a lookup that has not begun is dropped with its last waiter */
export type Lookup = (name: string, signal: AbortSignal) => Promise<Addresses>

export const systemResolve: Resolve = (name) => lookup(name, { all: true, order: 'verbatim' })

type Shared = PromiseWithResolvers<Addresses> & { waiters: number; begun: boolean }

export function createLookups(resolve: Resolve = systemResolve, most = MAX_LOOKUPS): Lookup {
  const shared = new Map<string, Shared>() // in the order in which they were asked for
  let underWay = 0

  function begin(name: string, entry: Shared): void {
    entry.begun = true
    underWay++
    const over = (): void => {
      underWay--
      shared.delete(name)
      for (const [next, waiting] of shared) {
        if (underWay >= most) break
        if (!waiting.begun) begin(next, waiting)
      }
    }
    resolve(name).finally(over).then(entry.resolve, entry.reject)
  }

  return (name, signal) => {
    const entry = shared.get(name) ?? { ...Promise.withResolvers<Addresses>(), waiters: 0, begun: false }
    shared.set(name, entry)
    entry.promise.catch(() => undefined) // who gave up hears nothing
    entry.waiters++
    if (!entry.begun && underWay < most) begin(name, entry)
    signal.addEventListener(
      'abort',
      () => {
        entry.waiters--
        if (entry.waiters === 0 && !entry.begun) shared.delete(name)
      },
      { once: true },
    )
    return entry.promise
  }
}

/**
 * As `net.connect` looks names up, in a random order: behind a name with an address for each replica every attempt may meet
 * another one, whatever order the resolver gives.
 *
 * @param random from 0 up to, not including, 1
 */
export function shuffledLookup(lookup: Lookup, random: () => number, signal: AbortSignal): LookupFunction {
  return (name, { all }, callback) => {
    lookup(name, signal).then(
      (found) => {
        const addresses = shuffled(found, random)
        const [first] = addresses
        if (!first) callback(Object.assign(new Error(`${name} has no address`), { code: 'ENOTFOUND' }), [])
        else if (all) callback(null, addresses)
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    )
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const rest = [...items]
  return Array.from(items, () => rest.splice(Math.floor(random() * rest.length), 1)).flat()
}
