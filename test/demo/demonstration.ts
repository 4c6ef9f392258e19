/** A run of the demo as a user starts it, in a temporary folder of its own, and what is left of it afterwards. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

export const CHECKOUT = join(import.meta.dirname, '../..')
const DEADLINE_MS = 60_000

export type Demonstration = {
  readonly child: ChildProcess
  /** What it has printed so far. */
  readonly text: () => string
  /** Waits until it has printed this. @throws Error with what it printed, when it ends or takes too long instead */
  readonly printed: (pattern: RegExp) => Promise<RegExpMatchArray>
  /** Its exit code or signal, once it has ended and all its output is here. */
  readonly ended: () => Promise<number | string>
  /** Of the demo's folder and its two programs: those that are still there. */
  readonly left: () => readonly string[]
}

/** @param command by default the demo itself, without npm around it */
export function demonstrate(
  t: Test,
  argv: readonly string[] = [],
  command: readonly string[] = [process.execPath, join(CHECKOUT, 'demo/demo.ts')],
): Demonstration {
  const folder = mkdtempSync(join(tmpdir(), "culvert's demo "))
  const [program = '', ...first] = command
  const child = spawn(program, [...first, ...argv], {
    cwd: CHECKOUT,
    env: { ...process.env, TMPDIR: folder },
    detached: true, // a process group of its own, as under a terminal
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const news = new EventTarget()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      news.dispatchEvent(new Event('news'))
    })
  }
  const closed = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  void closed.then(() => news.dispatchEvent(new Event('news')))
  const late = AbortSignal.timeout(DEADLINE_MS)
  const processes = (): number[] => [...output.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid)).filter(isAlive)
  t.teardown(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    for (const pid of processes()) process.kill(pid, 'SIGKILL')
    rmSync(folder, { recursive: true })
  })
  return {
    child,
    text: () => output,
    async printed(pattern) {
      for (;;) {
        const match = output.match(pattern)
        if (match) return match
        if (child.exitCode !== null || child.signalCode !== null || late.aborted) {
          throw new Error(`expected ${pattern} in:\n${output}`)
        }
        await Promise.race([once(news, 'news'), once(late, 'abort')])
      }
    },
    async ended() {
      const how = await Promise.race([closed, once(late, 'abort')])
      if (Array.isArray(how)) throw new Error(`did not end:\n${output}`)
      return how
    },
    left: () => [...readdirSync(folder).filter((name) => name.startsWith('culvert-demo-')), ...processes().map(String)],
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
