/** A `kubectl exec` that counts up in a pod, ten times a second: each number is to come, in order, until its cluster is cut off. */
import { once } from 'node:events'
import type { Kubectl } from './kubectl.ts'
import { linesOf } from './lines.ts'
import { POD } from './objects.ts'

const COUNT = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done'

export type Ticking = {
  /** Waits for so many numbers that come from now on. @throws Error when one was missing or late, now or before */
  goesOn(numbers: number): Promise<void>
  /** Ends when kubectl has; rejects when that takes longer. */
  ends(deadlineMs: number): Promise<void>
  stop(): void
}

/** Longest wait between two numbers: milliseconds. */
const BEAT_MS = 3_000

/** Returns when the first number has come. From then on all are read, whether anybody waits for them or not. */
export async function startTicking(kubectl: Kubectl): Promise<Ticking> {
  const child = kubectl.follow('exec', POD, '--', 'sh', '-c', COUNT)
  const ended = once(child, 'exit')
  const next = linesOf(child)
  let count = 0
  let failure: unknown
  let wake = Promise.withResolvers<void>()

  async function readOn(deadlineMs?: number): Promise<void> {
    const line = await next(deadlineMs)
    if (line !== String(count)) throw new Error(`expected ${count}, got ${line}`)
    count++
    wake.resolve()
    wake = Promise.withResolvers()
  }
  async function readAll(): Promise<never> {
    for (;;) await readOn(BEAT_MS)
  }
  await readOn()
  readAll().catch((error) => {
    failure = error
    wake.resolve()
  })
  return {
    async goesOn(numbers) {
      for (const end = count + numbers; count < end; await wake.promise) if (failure) throw failure
    },
    async ends(deadlineMs) {
      const late = new Error(`kubectl exec goes on after ${deadlineMs} ms`)
      const { promise, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(late), deadlineMs)
      await Promise.race([ended, promise]).finally(() => clearTimeout(timer))
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
