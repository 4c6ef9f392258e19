/**
 * Our programs as child processes (the launchers in bin/ have tests of their own). What they log is read as events, so that a test waits for
 * what happened and not for time; whatever a test does, the process has ended when the test has.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { DEADLINE_MS, within } from './deadline.ts'

const ENTRIES = join(import.meta.dirname, '../../src/cli')
const END_WITH_PARENT = join(import.meta.dirname, 'end-with-parent.ts')
const SHOWN_LINES = 30
/** How a process ends that V8 or the kernel gives up. */
const FAULTS: readonly NodeJS.Signals[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGTRAP']

export type Logged = { readonly msg: string; readonly [field: string]: unknown }
export type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type Program = {
  readonly name: string
  readonly pid: number
  /** What it has logged so far, and what it wrote beside the log. */
  readonly log: readonly Logged[]
  readonly lines: readonly string[]
  /** The record with this message that comes as the `count`-th since the start. */
  readonly logged: (message: string, count?: number, deadlineMs?: number) => Promise<Logged>
  readonly ended: Promise<Ended>
  readonly signal: (name: NodeJS.Signals) => void
}

export type Launch = {
  readonly name: 'proxy-server' | 'proxy-agent' | 'sni-router'
  readonly flags: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  readonly nodeFlags?: readonly string[]
  /** Nobody but the test's teardown ends it: for tests of who ends by itself. */
  readonly isAlone?: boolean
}

/** Does not wait for anything. */
export function launch(t: Test, { name, flags, env = {}, nodeFlags = [], isAlone = false }: Launch): Program {
  const entry = name === 'sni-router' ? [join(ENTRIES, 'culvert.ts'), name] : [join(ENTRIES, `${name}.ts`)]
  const withParent = isAlone ? [] : ['--import', END_WITH_PARENT]
  const args = [...withParent, ...nodeFlags, ...entry, '--log-format=json', '--log-level=debug', ...flags]
  const child = spawn(process.execPath, args, { stdio: 'pipe', env: { ...process.env, ...env } })
  const log: Logged[] = []
  const lines: string[] = []
  const waiting = new Set<() => void>()
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    for (const look of waiting) look()
    return { code, signal }
  })
  let over: Ended | undefined
  let endIsKnown = false // the test ends it, asks how it ended, or was told
  void ended.then((how) => {
    over = how
  })
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      if (line.startsWith('{"level"')) log.push(JSON.parse(line) as Logged)
      else lines.push(line)
      for (const look of waiting) look()
    })
  }
  t.teardown(async () => {
    if (over && !endIsKnown && hasFailed(over)) {
      console.error(`${name} ended by itself with ${over.signal ?? over.code}\n${tail()}`) // tap keeps no name of what fails so late
      t.fail(`${name} ended by itself`)
    }
    if (!over) child.kill('SIGKILL') // also ends what is stopped
    await ended
  })

  function tail(): string {
    return [...lines, ...log.map((record) => JSON.stringify(record))].slice(-SHOWN_LINES).join('\n')
  }

  function logged(message: string, count = 1, deadlineMs = DEADLINE_MS): Promise<Logged> {
    const { promise, resolve, reject } = Promise.withResolvers<Logged>()
    const look = (): void => {
      const record = log.filter(({ msg }) => msg === message)[count - 1]
      if (record) resolve(record)
      else if (child.exitCode !== null || child.signalCode !== null) {
        endIsKnown = true
        void ended.then(({ code, signal }) =>
          reject(new Error(`${name} ended with ${signal ?? code} before it logged "${message}"\n${tail()}`)),
        )
      }
    }
    waiting.add(look)
    look()
    const wait = within(promise, `${name} logs "${message}"${count > 1 ? `, time ${count}` : ''}`, deadlineMs)
    return wait
      .catch((cause: Error) => {
        throw new Error(`${cause.message}\n${tail()}`, { cause })
      })
      .finally(() => waiting.delete(look))
  }

  return {
    name,
    pid: child.pid ?? -1,
    log,
    lines,
    logged,
    get ended() {
      endIsKnown = true
      return ended
    },
    signal(name) {
      endIsKnown = true
      child.kill(name)
    },
  }
}

/** By an exception or a fault of its own; whoever was killed has another signal. */
const hasFailed = ({ code, signal }: Ended): boolean => (signal === null ? code !== 0 : FAULTS.includes(signal))

/** As the program wrote them once all of its ports listened. */
export const readPorts = (file: string): Record<string, number> =>
  JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>
