/** Lets requests to an API server go at a bounded rate, each in its turn; the urgent before all others. */
import type { Clock } from '../platform/clock.ts'
import { tokenBucket } from '../platform/token-bucket.ts'

export type Rate = {
  /** Requests per second. */
  readonly qps: number
  /** Requests at once, after a pause. */
  readonly burst: number
}

/** Those of Kubernetes' own client, which 0 stands for; there too, less than 0 requests per second are no limit. */
const DEFAULT_QPS = 5
const DEFAULT_BURST = 10

export type Turns = {
  /** Fulfilled when it is the caller's turn. @throws the reason of `signal`, when that is aborted first */
  readonly next: (urgent: boolean, signal: AbortSignal) => Promise<void>
}

export function createTurns(given: Rate, clock: Clock): Turns {
  const qps = given.qps || DEFAULT_QPS
  const burst = given.burst > 0 ? given.burst : DEFAULT_BURST
  const takeToken = qps < 0 ? () => true : tokenBucket(burst, (burst / qps) * 1000)
  const waiting: { readonly go: () => void }[] = []
  let timer: Disposable | undefined

  function serve(): void {
    timer = undefined
    while (waiting.length > 0 && takeToken(clock.now())) waiting.shift()?.go()
    if (waiting.length > 0) timer = clock.after(Math.ceil(1000 / qps), serve)
  }

  return {
    next(urgent, signal) {
      signal.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const turn = { go: resolve }
      const leave = (): void => {
        const at = waiting.indexOf(turn)
        if (at >= 0) waiting.splice(at, 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      if (urgent) waiting.unshift(turn)
      else waiting.push(turn)
      if (!timer) serve()
      return promise.finally(() => signal.removeEventListener('abort', leave))
    },
  }
}
