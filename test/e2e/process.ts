/**
 * A long-running program of the cluster: started in a network namespace, watched, and sent signals. Nothing here
 * stops it: the namespace ends with all that runs in it (network.ts). What it prints goes to a file, whose end is part of every failure.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const SHOWN_LOG_BYTES = 4_000

export type Running = {
  readonly name: string
  readonly pid: number
  /** Ends with the exit code or the signal, once the process has. */
  readonly ended: Promise<number | string>
  readonly logFile: string
  /** Hands on what `work` gives. Rejects with the end of the program's output when it does, or when the program ends first. */
  until<T>(work: Promise<T>): Promise<T>
  signal(name: NodeJS.Signals): void
}

export type Launch = {
  readonly name: string
  readonly namespace: string
  readonly command: readonly string[]
  readonly folder: string
  readonly env?: NodeJS.ProcessEnv
}

/** `ip netns exec` becomes the program, so the process id is the program's own. */
export function start({ name, namespace, command, folder, env }: Launch): Running {
  const logFile = join(folder, `${name}.log`)
  const log = openSync(logFile, 'a')
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...env },
  })
  closeSync(log)
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string)
  const endedEarly = ended.then((how) => {
    throw new Error(`${name} ended with ${how}: ${command.join(' ')}`)
  })
  endedEarly.catch(() => undefined)
  return {
    name,
    pid: child.pid ?? fail(`${name} could not be started`),
    ended,
    logFile,
    until: (work) =>
      Promise.race([work, endedEarly]).catch((cause) => {
        throw new Error(`failed while ${name} was running\n${lastOf(logFile)}`, { cause })
      }),
    signal: (signal) => void child.kill(signal),
  }
}

/**
 * What goes before a command that is to find host names in `file`. Whoever enters a network namespace by `ip netns exec` has
 * mounts of its own, which end with it.
 */
export function withHosts(file: string): string[] {
  return ['sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', file]
}

function lastOf(logFile: string): string {
  return `end of ${logFile}:\n${readFileSync(logFile, 'utf8').slice(-SHOWN_LOG_BYTES)}`
}

function fail(message: string): never {
  throw new Error(message)
}
