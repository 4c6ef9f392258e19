/**
 * Has the kernel ask of an idle TCP connection whether the other end is still there, often enough that a machine which is gone is
 * noticed within 13 s, and patiently enough that eight seconds without a network break nothing. Node before 26.4 knows no interval
 * and no count: there the kernel asks ten times, a second apart, and knows after 15 s.
 */
import type { Socket } from 'node:net'

/** Silence before it asks, and between two questions: milliseconds. */
export const KEEP_ALIVE_MS = 5_000
const AGAIN_MS = 2_000
/** Questions that go unanswered before the connection fails with ETIMEDOUT. */
const QUESTIONS = 4

/** Of a socket that may still have to connect; does nothing to a Unix socket. */
export function keepAlive(socket: Socket): void {
  socket.setKeepAlive(true, KEEP_ALIVE_MS, AGAIN_MS, QUESTIONS)
}
