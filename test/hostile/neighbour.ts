/**
 * Somebody honest beside an attack, in a cluster of its own: a connection that stays and exchanges all the time, and new ones that come
 * and go. Nothing of it may fail, be changed, or take long, whatever the others do.
 */
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import { echoOver } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'

/** Between two exchanges, which begin a new connection every third time: milliseconds. */
const PAUSE_MS = 20
const FRESH_EVERY = 3
/** Exchanges that must come to their end after an attack. */
const AFTERWARDS = 4
/** For one exchange, or a new connection and its exchange: milliseconds. A busy machine alone takes some hundred. */
export const SLOWEST_MS = 3_000

export type Neighbour = {
  /** From now on; ask what it returns when the attack is over. @throws Error when it was harmed */
  readonly watch: () => () => Promise<void>
}

/** @param dial a connection to something that echoes */
export async function startNeighbour(t: Test, dial: () => Promise<Duplex>): Promise<Neighbour> {
  let stopped = false
  let exchanges = 0
  let slowestMs = 0
  const failures: string[] = []
  const stays = await dial()
  stays.on('error', () => undefined)

  async function exchange(): Promise<void> {
    const startMs = performance.now()
    await echoOver(stays, `exchange ${exchanges}`)
    if (exchanges % FRESH_EVERY === 0) {
      const fresh = await dial()
      fresh.on('error', () => undefined)
      await echoOver(fresh, `a new one, ${exchanges}`)
      fresh.destroy()
    }
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
    exchanges++
  }

  const done = (async () => {
    while (!stopped && failures.length === 0) {
      await exchange().catch((error: Error) => failures.push(error.message))
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
    stays.destroy()
  })()
  t.teardown(() => {
    stopped = true
    return done
  })

  return {
    watch() {
      slowestMs = 0
      return async () => {
        const enough = exchanges + AFTERWARDS
        await eventually(
          'the neighbour goes on',
          () => exchanges,
          (count) => count >= enough || failures.length > 0,
        )
        if (failures.length > 0) throw new Error(`the neighbour was harmed: ${failures.join('; ')}`)
        if (slowestMs > SLOWEST_MS) throw new Error(`the neighbour waited ${Math.round(slowestMs)} ms`)
      }
    },
  }
}
