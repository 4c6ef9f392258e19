/**
 * Calls between the benchmark and its child processes, over an IPC channel. One message per call and
 * one per answer: nothing crosses while a measurement runs.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { NODE_FLAGS } from '../node-flags.ts'

/** What one side can be told to do: each takes one plain object and gives one back. */
export type Commands = { readonly [name: string]: (argument: never) => Promise<unknown> }
export type Remote<C extends Commands> = {
  readonly pid: number
  readonly call: <N extends keyof C & string>(
    name: N,
    argument: Parameters<C[N]>[0],
  ) => Promise<Awaited<ReturnType<C[N]>>>
}

/** A peer that did not answer in time is a finding, not a fault of the benchmark; the code tells the two apart. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

type Call = { readonly id: number; readonly name: string; readonly argument: unknown }
type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string; readonly noAnswer?: boolean }

/** Longest call: the longest window, the deadlines inside the child, and room for a busy machine. */
const CALL_DEADLINE_MS = 120_000

/**
 * Starts `file` as a child process of the same Node and gives a way to call it; `stop` ends it.
 *
 * @param enter stands before the command line, to have it run in another place
 */
export function startRemote<C extends Commands>(
  file: string,
  enter: readonly string[] = [],
): Remote<C> & { readonly stop: () => void } {
  const [command, ...args] = [...enter, process.execPath, ...NODE_FLAGS, file] as const
  const child = spawn(command!, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let lastId = 0
  child.on('message', (message) => {
    const { id, value, error, noAnswer } = message as Answer
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(noAnswer ? new NoAnswer(error) : new Error(error))
  })
  child.once('exit', (code, signal) => {
    for (const call of waiting.values()) call.reject(new Error(`${file} ended early (${signal ?? code})`))
  })
  return {
    pid: pidOf(child),
    call: (name, argument) => call(name, argument) as never,
    stop: () => child.kill('SIGKILL'),
  }

  async function call(name: string, argument: unknown): Promise<unknown> {
    const id = ++lastId
    const answer = Promise.withResolvers<unknown>()
    waiting.set(id, answer)
    const late = setTimeout(
      () => answer.reject(new Error(`${name} took over ${CALL_DEADLINE_MS} ms`)),
      CALL_DEADLINE_MS,
    )
    child.send({ id, name, argument } satisfies Call)
    try {
      return await answer.promise
    } finally {
      clearTimeout(late)
    }
  }
}

/** The child's side: obeys until the benchmark is gone, then ends, so that none is left behind. */
export function answerCalls(commands: Commands): void {
  process.on('message', async (message) => {
    const { id, name, argument } = message as Call
    process.send?.(await answer(id, () => commands[name]!(argument as never)))
  })
  process.once('disconnect', () => process.exit())
}

async function answer(id: number, run: () => Promise<unknown>): Promise<Answer> {
  try {
    return { id, value: await run() }
  } catch (error) {
    const { message } = error as Error
    return { id, error: message, noAnswer: error instanceof NoAnswer }
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error(`cannot start ${child.spawnfile}`)
  return child.pid
}
