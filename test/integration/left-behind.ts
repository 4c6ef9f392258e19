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

/** What is still let go of after its connection, such as by a timer, is gone when nothing has become less for so long: milliseconds. */
const STILL_MS = 1_500
/** No less: bytes. */
const SAME_BYTES = 50_000

/** When nothing more is let go of. */
export async function left(program: Program): Promise<Left> {
  let least = Number.POSITIVE_INFINITY
  let sinceMs = performance.now()
  return eventually(
    `${program.name} has let go of all that it will`,
    async () => {
      const now = await look(program)
      const size = now.bytes + now.descriptors * SAME_BYTES
      if (size <= least - SAME_BYTES) {
        least = size
        sinceMs = performance.now()
      }
      return now
    },
    () => performance.now() - sinceMs >= STILL_MS,
  )
}

async function look(program: Program): Promise<Left> {
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
  const after = await left(program)
  const bytes = after.bytes - before.bytes
  t.comment(`${program.name}: ${bytes} bytes more, ${after.descriptors} descriptors`)
  t.ok(bytes < NOISE_BYTES, `the heap of ${program.name} grew by ${bytes} bytes`)
  await eventually(
    `${program.name} has at most ${before.descriptors} descriptors`, // those of a scrape stay for a while
    () => look(program),
    ({ descriptors }) => descriptors <= before.descriptors,
  )
}
