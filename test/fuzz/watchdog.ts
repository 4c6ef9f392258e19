/**
 * A thread that looks whether rounds go on: a reader that does not come back holds this thread for good, and nobody would learn at
 * which seed. Then it says so and ends the process.
 */
import { Worker } from 'node:worker_threads'

/** Longest that a round may take, on a machine that has others to serve: milliseconds. */
export const STUCK_MS = 30_000

const WATCHING = `
const { workerData } = require('node:worker_threads')
const { seeds, name, stuckMs } = workerData
const seen = new Float64Array(seeds)
let [last, since] = [seen[0], performance.now()]
setInterval(() => {
  if (seen[0] !== last) [last, since] = [seen[0], performance.now()]
  else if (last > 0 && performance.now() - since > stuckMs) {
    require('node:fs').writeSync(2, 'fuzz ' + name + ': seed ' + last + ' does not come back\\n')
    process.kill(process.pid, 'SIGKILL')
  }
}, stuckMs / 10)
`

export type Watchdog = Disposable & { readonly begins: (seed: number) => void }

export function watchOver(name: string, stuckMs = STUCK_MS): Watchdog {
  const seeds = new SharedArrayBuffer(8)
  const current = new Float64Array(seeds)
  // Without the flags of this thread, whose preloads would have it wait for this thread.
  const worker = new Worker(WATCHING, { eval: true, execArgv: [], env: {}, workerData: { seeds, name, stuckMs } })
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
