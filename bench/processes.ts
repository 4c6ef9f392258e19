/** Child processes of the benchmark: each ends with it, and what each said is kept for the report of a failure. */
import { execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Place } from './places.ts'

export type Program = {
  readonly name: string
  readonly place: Place
  readonly command: string
  readonly args: readonly string[]
  /** Gets standard output and standard error. */
  readonly logFile: string
  /** How long to wait between SIGTERM and SIGKILL; 0 sends SIGKILL at once. */
  readonly graceMs: number
}
export type RunningProgram = AsyncDisposable & {
  readonly pid: number
  /** @throws Error with the last lines that the program wrote, when it has ended */
  readonly assertRunning: () => void
}

const POLL_MS = 20
const LOG_TAIL_CHARACTERS = 2000
const started = new Set<number>()
const folders = new Set<string>()

// Also when the benchmark is interrupted or throws: nothing of it stays behind.
process.on('exit', () => {
  for (const pid of started) kill(pid, 'SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))

/** Has a folder removed when the benchmark ends, however it ends. */
export function removeAtExit(folder: string): void {
  folders.add(folder)
}

export function startProgram({ name, place, command, args, logFile, graceMs }: Program): RunningProgram {
  const log = openSync(logFile, 'a')
  const [first, ...rest] = [...place.enter, command, ...args]
  const child = spawn(first!, rest, { stdio: ['ignore', log, log], detached: true })
  closeSync(log)
  const ended = Promise.withResolvers<void>()
  let failure: string | undefined
  child.once('error', (error) => end(error.message))
  child.once('exit', (code, signal) => end(`ended with ${signal ?? code}`))
  const pid = child.pid
  if (pid === undefined) throw new Error(`cannot start ${command}`)
  started.add(pid)
  return {
    pid,
    assertRunning: () => {
      if (failure !== undefined)
        throw new Error(`${name} ${failure}: ${readFileSync(logFile, 'utf8').slice(-LOG_TAIL_CHARACTERS)}`)
    },
    [Symbol.asyncDispose]: async () => {
      if (graceMs > 0) kill(pid, 'SIGTERM')
      const timer = setTimeout(() => kill(pid, 'SIGKILL'), graceMs)
      await ended.promise
      clearTimeout(timer)
      kill(pid, 'SIGKILL')
    },
  }

  function end(why: string): void {
    failure ??= why
    if (pid !== undefined) started.delete(pid)
    ended.resolve()
  }
}

/** Asks `isReady` again and again until it says so, the program ends or the deadline passes. */
export async function untilReady(
  program: RunningProgram,
  what: string,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = 20_000
  const deadline = performance.now() + deadlineMs
  while (!(await isReady())) {
    program.assertRunning()
    if (performance.now() > deadline) throw new Error(`${what}: not ready after ${deadlineMs} ms`)
    await sleep(POLL_MS)
  }
}

/** Whether an HTTP endpoint on a place's loopback answers 200; nobody listening is a no. */
export async function answersOk({ enter }: Place, port: number, path: string): Promise<boolean> {
  try {
    if (enter.length > 0) {
      await runIn(enter, `process.exit((await fetch('http://127.0.0.1:${port}${path}')).ok ? 0 : 1)`)
      return true
    }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(1000) })
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}

/** Whether somebody takes connections there, on loopback. */
export async function accepts({ enter }: Place, port: number): Promise<boolean> {
  const connect = `(await import('node:net')).connect(${port}, '127.0.0.1').once('connect', () => process.exit())`
  return runIn(enter, connect).then(
    () => true,
    () => false,
  )
}

/** @throws Error when it does not end with 0 */
function runIn(enter: Place['enter'], script: string): Promise<unknown> {
  const [command, ...args] = [...enter, process.execPath, '--input-type=module', '-e', script]
  return promisify(execFile)(command!, args)
}

/** A program leads a group of its own: what it may have started ends with it. */
function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // it has ended by itself
  }
}
