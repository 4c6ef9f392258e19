/** What a program holds once garbage is collected: for tests that look twice, with thousands of connections between. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from './deadline.ts'
import type { Program } from './program.ts'

/** What the heap may differ by between two looks, whatever the number of connections between them: bytes. */
const NOISE_BYTES = 1_500_000

/** With these a program can be looked at. */
export const watched = { nodeFlags: ['--expose-gc', '--import', join(import.meta.dirname, 'collect-on-signal.ts')] }

export type Left = { readonly bytes: number; readonly descriptors: number }

export async function left(program: Program): Promise<Left> {
  const said = program.lines.length
  program.signal('SIGUSR2')
  const [line] = await eventually(
    `${program.name} says how large its heap is`,
    () => program.lines.slice(said),
    (lines) => lines.length > 0,
  )
  return {
    bytes: Number(/^live bytes (\d+)$/.exec(line ?? '')?.[1]),
    descriptors: readdirSync(`/proc/${program.pid}/fd`).length,
  }
}

/** No more is left than before, but for what a heap differs by in any case. */
export async function noMoreLeft(t: Test, program: Program, before: Left): Promise<void> {
  const { descriptors, bytes } = before
  await eventually(
    `${program.name} has at most ${descriptors} descriptors`,
    () => left(program),
    (now) => now.descriptors <= descriptors,
  )
  const after = await left(program)
  t.comment(`${program.name}: ${after.bytes - bytes} bytes more, ${after.descriptors} descriptors`)
  t.ok(after.bytes - bytes < NOISE_BYTES, `the heap of ${program.name} grew by ${after.bytes - bytes} bytes`)
}
