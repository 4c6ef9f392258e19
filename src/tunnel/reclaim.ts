/**
 * What a session takes back from its connections unasked: windows that are not used, connections whose peer does not let them
 * end, and the largest one when too much waits in all. Pure. Source: docs/protocol.md sections 3 and 5.
 */
import { release } from './budget.ts'
import type { Connection } from './connection.ts'
import { heldFor } from './connection-table.ts'
import { close, lose } from './ending.ts'
import { review } from './steering.ts'
import { INITIAL_WINDOW_BYTES, shrink } from './window.ts'

/** A connection without traffic for this long gives back what its window had grown: milliseconds. */
export const IDLE_WINDOW_MS = 10_000
/** When too much waits in all, sockets that took nothing for this long go first: milliseconds. */
const STALLED_MS = 1_000
/**
 * What an owner that has left still wanted to send is given up when the peer takes nothing of it for this long; of one whose socket
 * broke, when it has not taken all of it: milliseconds.
 */
const LEFT_MS = 60_000
/** A stock agent that does not answer CLOSE_REQ, and sends nothing, for this long is taken to have closed: milliseconds. */
const CLOSE_ANSWER_MS = 30_000

/** Called every IDLE_WINDOW_MS. @param connections a list of their own: some of them end here */
export function reclaimIdle(connections: readonly Connection[], nowMs: number): void {
  for (const connection of connections) {
    const { link, window, activeMs } = connection
    const idleMs = nowMs - activeMs
    review(connection, nowMs, IDLE_WINDOW_MS)
    if (window.size > INITIAL_WINDOW_BYTES && idleMs >= IDLE_WINDOW_MS) release(link.budget, shrink(window))
    if (connection.closing === 'waits-for-peer' && idleMs >= CLOSE_ANSWER_MS) lose(connection, 'close-unanswered')
    if (connection.closing === 'after-sending' && idleMs >= LEFT_MS) close(connection, 'peer-takes-nothing')
  }
}

/** Of those whose sockets have stalled, if there are any, whoever holds most. */
export function reclaimLargest(holders: readonly Connection[], nowMs: number): void {
  const stalled = holders.filter(({ tookMs }) => nowMs - tookMs >= STALLED_MS)
  const [first, ...others] = stalled.length > 0 ? stalled : holders
  if (!first) return
  const most = others.reduce((largest, next) => (heldFor(next) > heldFor(largest) ? next : largest), first)
  if (most.over) most.events.giveUp()
  close(most, 'over-budget')
}
