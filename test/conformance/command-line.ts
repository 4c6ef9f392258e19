/** What a program answers to a command line that it refuses. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/** Ends a program that took the command line. */
const DEADLINE_MS = 60_000

export type Refusal = { readonly code: number | null; readonly errors: readonly string[] }

/** Runs the program until it ends. */
export async function refusalOf(file: string, args: readonly string[]): Promise<Refusal> {
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: DEADLINE_MS, killSignal: 'SIGKILL' })
  const [output, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  return { code, errors: errorsIn(output) }
}

/** What follows `error: `, line by line; konnectivity's lines have klog's header before it. */
export function errorsIn(output: string): string[] {
  return output.split('\n').flatMap((line) => /(?:^|\] )error: (.*)$/.exec(line)?.[1] ?? [])
}
