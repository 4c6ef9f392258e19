/** Waits for what programs in network namespaces say. */
import { readFile } from 'node:fs/promises'
import { eventually } from '../integration/deadline.ts'
import type { Running } from './process.ts'

/** A question may be a process of its own. */
const ASK_EVERY_MS = 250

/** As `eventually`, but asks every quarter of a second. */
export const becomes = <T>(
  what: string,
  ask: () => T | Promise<T>,
  accept: (answer: T) => boolean,
  deadlineMs: number,
): Promise<T> => eventually(what, ask, accept, deadlineMs, ASK_EVERY_MS)

/** How often the program's output has it. */
export async function timesSaid(running: Running, pattern: RegExp): Promise<number> {
  return (await saidBy(running, pattern)).length
}

/** Waits until the program's output has it. @returns the first */
export async function says(running: Running, pattern: RegExp, deadlineMs: number, times = 1): Promise<string> {
  const found = await becomes(
    `${running.name} says ${pattern}, ${times} times`,
    () => saidBy(running, pattern),
    (texts) => texts.length >= times,
    deadlineMs,
  )
  return found[0] ?? ''
}

async function saidBy(running: Running, pattern: RegExp): Promise<readonly string[]> {
  const all = new RegExp(pattern, `${pattern.flags.replace('g', '')}g`)
  return (await readFile(running.logFile, 'utf8')).match(all) ?? []
}
