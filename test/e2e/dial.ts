/**
 * Opens one TCP connection from inside a network namespace and says what became of it.
 *
 *   node dial.ts <address> <port>    prints `connected`, `timeout` or the error's code
 */
import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'

const DEADLINE_MS = 2_000
const run = promisify(execFile)

/** A dropped packet is `timeout`, a missing route is `ENETUNREACH`. */
export async function dial(namespace: string, address: string, port: number): Promise<string> {
  const command = ['netns', 'exec', namespace, process.execPath, import.meta.filename, address, String(port)]
  const { stdout } = await run('ip', command)
  return stdout
}

if (import.meta.main) {
  const [, , host = '', port] = process.argv
  const say = (what: string): void => {
    process.stdout.write(what, () => process.exit(0))
  }
  connect({ host, port: Number(port), timeout: DEADLINE_MS })
    .on('connect', () => say('connected'))
    .on('timeout', () => say('timeout'))
    .on('error', (error: NodeJS.ErrnoException) => say(error.code ?? error.message))
}
