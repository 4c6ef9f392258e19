/** A child process that a test may stop (SIGSTOP) or kill: whatever becomes of the test, it does not stay behind. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { DEADLINE_MS, within } from './deadline.ts'

export type Stoppable = {
  /** The first line that it wrote. */
  readonly line: string
  readonly stop: () => void
  readonly cont: () => void
  readonly kill: () => void
  readonly ended: Promise<unknown>
}

/**
 * Starts another Node and waits for its first line.
 *
 * @param what is waited for, for the message of a deadline
 */
export async function startStoppable(
  t: Test,
  argv: readonly string[],
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<Stoppable> {
  const child: ChildProcessByStdio<null, Readable, null> = spawn(process.execPath, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const kill = (): void => void child.kill('SIGKILL') // also what is stopped
  process.once('exit', kill)
  t.teardown(async () => {
    process.off('exit', kill)
    kill()
    await ended
  })
  const [line] = (await within(once(createInterface({ input: child.stdout }), 'line'), what, deadlineMs)) as [string]
  return { line, stop: () => void child.kill('SIGSTOP'), cont: () => void child.kill('SIGCONT'), kill, ended }
}
