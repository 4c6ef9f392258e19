/**
 * When a stock agent may be told to close a connection. It closes the target as soon as it is told, and drops what it has
 * not written by then: so it is told a while after it has read the connection's last data, which its answer to a PING shows.
 */
import type { ServerHttp2Session } from 'node:http2'
import type { Clock } from '../platform/clock.ts'

/** From the agent's answer on: milliseconds. Its queues are written out in microseconds, if the target takes the bytes. */
const STOCK_WRITES_MS = 50

type Pinged = Pick<ServerHttp2Session, 'destroyed' | 'ping'>

/** @returns a function that calls back when what has left so far is written. One PING at a time answers for all who ask. */
export function stockClose(http: Pinged, clock: Clock): (then: () => void) => void {
  let waiting: (() => void)[] = []
  let asked = false

  function ask(): void {
    if (http.destroyed) return // and the agent's connections with it
    const those = waiting
    waiting = []
    asked = true
    http.ping(() => {
      asked = false
      clock.after(STOCK_WRITES_MS, () => those.forEach((then) => void then()))
      if (waiting.length > 0) ask()
    })
  }

  return (then) => {
    waiting.push(then)
    if (!asked) ask()
  }
}
