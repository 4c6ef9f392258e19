/**
 * A thread that looks whether rounds go on: a reader that does not come back holds this thread for good, and nobody would learn at
 * which seed. Then it says so and ends the process.
 */
import { Worker } from 'node:worker_threads'

/** Longest that a round may take, on a machine that has others to serve: milliseconds. */
export const STUCK_MS = 30_000

/** In so many looks; a process that was stopped for a while has missed some, and is not stuck. */
const LOOKS = 10

const WATCHING = `
const { workerData } = require('node:worker_threads')
const { seeds, name, everyMs, looks } = workerData
const seen = new Float64Array(seeds)
let [last, alike] = [seen[0], 0]
setInterval(() => {
  alike = seen[0] === last ? alike + 1 : 0
  last = seen[0]
  if (last === 0 || alike < looks) return
  require('node:fs').writeSync(2, 'fuzz ' + name + ': seed ' + last + ' does not come back\\n')
  process.kill(process.pid, 'SIGKILL')
}, everyMs)
`

export type Watchdog = Disposable & { readonly begins: (seed: number) => void }

export function watchOver(name: string, stuckMs = STUCK_MS): Watchdog {
  const seeds = new SharedArrayBuffer(8)
  const current = new Float64Array(seeds)
  // Without the flags of this thread, whose preloads would have it wait for this thread.
  const workerData = { seeds, name, everyMs: stuckMs / LOOKS, looks: LOOKS }
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
