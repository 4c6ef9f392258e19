/** The output of a command that goes on, line by line, each with a deadline. Lines that nobody has asked for yet wait. */
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'

const LINE_DEADLINE_MS = 30_000
const STDERR_LIMIT_CHARACTERS = 4_000

/** @throws Error from the function it returns, when the command ends or says nothing more, with what it said of errors */
export function linesOf(child: ChildProcess): (deadlineMs?: number) => Promise<string> {
  const lines = createInterface({ input: child.stdout ?? Readable.from([]) })[Symbol.asyncIterator]()
  let stderr = ''
  child.stderr?.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-STDERR_LIMIT_CHARACTERS)
  })
  return async (deadlineMs = LINE_DEADLINE_MS) => {
    const deadline = new AbortController()
    const late = delay(deadlineMs, undefined, { signal: deadline.signal }).catch(() => undefined)
    const line = await Promise.race([lines.next(), late])
    deadline.abort()
    if (line === undefined) throw new Error(`no line within ${deadlineMs} ms: ${child.spawnargs.join(' ')}\n${stderr}`)
    if (line.done === true) throw new Error(`no more lines: ${child.spawnargs.join(' ')}\n${stderr}`)
    return line.value
  }
}
