/**
 * A program of a test, ours or konnectivity's, by its command line alone: what it prints goes to a file, whose end is part of
 * every failure. It ends with the test, and by the kernel's hand (`setpriv --pdeathsig`) also when the test's process is killed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { temporaryFolder } from '../integration/certificates.ts'
import { eventually } from '../integration/deadline.ts'

const SHOWN_BYTES = 4_000
const PROBE_DEADLINE_MS = 5_000

export type Running = {
  readonly name: string
  readonly pid: number
  /** How it ended: an exit code or a signal. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** Fulfilled once it has. */
  readonly kill: (signal: NodeJS.Signals) => Promise<number | NodeJS.Signals>
  /** Sends a signal and waits for nothing. */
  readonly signal: (signal: NodeJS.Signals) => void
  /** Asks until the program answers 200 at that path. @throws Error with what it printed, when it ends or takes too long */
  readonly answersOk: (port: number, path: string) => Promise<void>
}

export type Command = { readonly name: string; readonly file: string; readonly args: readonly string[] }

export function start(t: Test, { name, file, args }: Command): Running {
  const logFile = join(temporaryFolder(t), `${name}.log`)
  const log = openSync(logFile, 'a')
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', file, ...args], { stdio: ['ignore', log, log] })
  closeSync(log)
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  const kill = (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    child.kill(signal)
    return ended
  }
  t.teardown(() => kill('SIGKILL'))

  async function answersOk(port: number, path: string): Promise<void> {
    const early = ended.then((how) => {
      throw new Error(`it ended with ${how}`)
    })
    early.catch(() => undefined)
    const ok = eventually(
      `${name} answers 200 at ${path}`,
      () => statusOf(port, path),
      (status) => status === 200,
    )
    await Promise.race([ok, early]).catch((cause: Error) => {
      throw new Error(`${name}: ${cause.message}\n${readFileSync(logFile, 'utf8').slice(-SHOWN_BYTES)}`, { cause })
    })
  }

  return { name, pid: child.pid ?? -1, ended, kill, signal: (signal) => void child.kill(signal), answersOk }
}

/** 0 when nobody answers. */
export function statusOf(port: number, path: string): Promise<number> {
  return fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(PROBE_DEADLINE_MS) }).then(
    async (response) => {
      await response.arrayBuffer()
      return response.status
    },
    () => 0,
  )
}
