/** A program of Culvert as a child process: started by its launcher, silent unless it fails, stopped for sure. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { poll, type Scene, within } from './scene.ts'

/** How much of a program's output is kept for the case that it fails. */
const KEPT_CHARACTERS = 8_192
/** How long a program may take to end after it was asked to: milliseconds. */
const STOP_MS = 3_000

export type Program = AsyncDisposable & {
  readonly pid: number
  /** Each port it listens on, by listener. */
  readonly ports: Readonly<Record<string, number>>
}

/**
 * Starts a program and waits until it listens. Its end before it was asked to is the demo's end.
 *
 * @param flags besides --ports-file
 * @throws Error when it ends instead; nothing is left of it then
 */
export async function startProgram(
  scene: Scene,
  name: 'proxy-server' | 'proxy-agent',
  flags: readonly string[],
): Promise<Program> {
  const portsFile = join(scene.folder, `${name}.ports.json`)
  const child = spawn(join(scene.launchers.folder, name), [...flags, `--ports-file=${portsFile}`], {
    env: scene.launchers.env,
    detached: true, // Ctrl-C in a terminal is for the demo, which stops its programs in order
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = endOf(child, name)
  keepOutput(child, name, scene.said)
  let stopping = false
  void ended.then((how) => stopping || scene.end(new Error(how)))
  const stop = async (): Promise<void> => {
    stopping = true
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await ended
    clearTimeout(timer)
  }
  try {
    const ports = await within(scene, `${name} to listen`, (signal) => poll(signal, () => readPorts(portsFile)))
    return { pid: child.pid as number, ports, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Fulfilled with how it ended, once all that it said is here; also when it could not be started. */
function endOf(child: ChildProcess, name: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  child.once('error', ({ message }) => resolve(`${name} could not be started: ${message}`))
  child.once('close', (code, signal) => resolve(`${name} ended with ${code ?? signal}`))
  return promise
}

function keepOutput(child: ChildProcess, name: string, said: Scene['said']): void {
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said.set(name, ((said.get(name) ?? '') + text).slice(-KEPT_CHARACTERS))
  })
}

/** The file appears whole or not at all. */
function readPorts(file: string): Record<string, number> | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
