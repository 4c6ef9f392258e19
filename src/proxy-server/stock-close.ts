/**
 * When a stock agent may be told to close a connection. It closes the target as soon as it is told, and drops what it has
 * not written by then: so it is told a while after it has read the connection's last data, which its answer to a PING shows.
 */
import type { ServerHttp2Session } from 'node:http2'
import type { Clock } from '../platform/clock.ts'

/** From the agent's answer on: milliseconds. Its queues are written out in microseconds, if the target takes the bytes. */
const STOCK_WRITES_MS = 50
/** Between an answer and the next PING: milliseconds. Each wakes both ends; asked one after the other, they would do nothing else. */
const GATHER_MS = 20

type Pinged = Pick<ServerHttp2Session, 'destroyed' | 'ping'>

/** @returns a function that calls back when what has left so far is written. One PING at a time answers for all who ask. */
export function stockClose(http: Pinged, clock: Clock): (then: () => void) => void {
  let waiting: (() => void)[] = []
  let state: 'idle' | 'asked' | 'gathering' = 'idle'

  function ask(): void {
    state = 'idle'
    if (http.destroyed || waiting.length === 0) return // without it, the agent's connections are gone as well
    const those = waiting
    waiting = []
    state = 'asked'
    http.ping(() => {
      state = 'gathering'
      clock.after(STOCK_WRITES_MS, () => those.forEach((then) => void then()))
      clock.after(GATHER_MS, ask)
    })
  }

  return (then) => {
    waiting.push(then)
    if (state === 'idle') ask()
  }
}
