/** A free port for konnectivity's programs, which know no "any port" and refuse those over 49151. */
import { createServer } from 'node:net'

/** Below 32768 no outgoing connection takes one away. */
const LOWEST = 10_000
const HIGHEST = 32_000

/** Free a moment ago, and not given before by this process. */
export async function freePort(): Promise<number> {
  while (true) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
}

const given = new Set<number>()

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
