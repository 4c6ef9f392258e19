/** Waits that end: for a promise, for an event, and for what can only be learnt by asking. */
import { type EventEmitter, once } from 'node:events'

/** For what takes milliseconds, on a machine that does something else at the moment. */
export const DEADLINE_MS = 20_000
const ASK_EVERY_MS = 10

/** @throws Error that says what did not happen */
export function within<T>(promise: Promise<T>, what: string, deadlineMs = DEADLINE_MS): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const error = new Error(`did not happen within ${deadlineMs} ms: ${what}`) // its stack names the one who waits
  const timer = setTimeout(() => reject(error), deadlineMs)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** The first argument of the event, which must be still to come. */
export async function event<T = unknown>(emitter: EventEmitter, name: string): Promise<T> {
  const [value] = await within(once(emitter, name), `the event "${name}"`)
  return value as T
}

/** Asks until the answer is one that `accept` takes. */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  accept: (answer: T) => boolean,
  deadlineMs = DEADLINE_MS,
  everyMs = ASK_EVERY_MS,
): Promise<T> {
  const endMs = performance.now() + deadlineMs
  for (;;) {
    const answer = await ask()
    if (accept(answer)) return answer
    if (performance.now() > endMs) {
      throw new Error(`not within ${deadlineMs} ms: ${what}; the last answer was ${JSON.stringify(answer)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
