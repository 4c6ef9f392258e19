/**
 * A thread that looks whether rounds go on: a reader that does not come back holds this thread for good, and nobody would learn at
 * which seed. Then it says so and ends the process.
 */
import { Worker } from 'node:worker_threads'

/** Longest that a round may take of the processor: milliseconds. A process that has been stopped, or that others leave little of it, is not stuck. */
export const STUCK_MS = 30_000

/** Between two looks: milliseconds. */
const LOOK_MS = 100

const WATCHING = `
const { workerData } = require('node:worker_threads')
const { seeds, name, stuckMs, lookMs } = workerData
const seen = new Float64Array(seeds)
const usedMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
let [last, sinceMs] = [seen[0], usedMs()]
setInterval(() => {
  if (seen[0] !== last || last === 0) [last, sinceMs] = [seen[0], usedMs()]
  if (last === 0 || usedMs() - sinceMs < stuckMs) return
  require('node:fs').writeSync(2, 'fuzz ' + name + ': seed ' + last + ' does not come back\\n')
  process.kill(process.pid, 'SIGKILL')
}, lookMs)
`

export type Watchdog = Disposable & { readonly begins: (seed: number) => void }

export function watchOver(name: string, stuckMs = STUCK_MS): Watchdog {
  const seeds = new SharedArrayBuffer(8)
  const current = new Float64Array(seeds)
  // Without the flags of this thread, whose preloads would have it wait for this thread.
  const workerData = { seeds, name, stuckMs, lookMs: LOOK_MS }
  const worker = new Worker(WATCHING, { eval: true, execArgv: [], env: {}, workerData })
  worker.unref()
  return {
    begins(seed) {
      current[0] = seed
    },
    [Symbol.dispose]() {
      current[0] = 0
      void worker.terminate()
    },
  }
}
