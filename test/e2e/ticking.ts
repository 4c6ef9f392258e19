/** A `kubectl exec` that counts up in a pod, ten times a second: each number is to come, in order, until its cluster is cut off. */
import { once } from 'node:events'
import type { Kubectl } from './kubectl.ts'
import { linesOf } from './lines.ts'
import { POD } from './objects.ts'

const COUNT = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done'

export type Ticking = {
  /** Reads so many more numbers. @throws Error when one is missing or late */
  goesOn(numbers: number, deadlineMs?: number): Promise<void>
  /** Ends when kubectl has; rejects when that takes longer. */
  ends(deadlineMs: number): Promise<void>
  stop(): void
}

/** Returns when the first number has come. */
export async function startTicking(kubectl: Kubectl): Promise<Ticking> {
  const child = kubectl.follow('exec', POD, '--', 'sh', '-c', COUNT)
  const ended = once(child, 'exit')
  const next = linesOf(child)
  let expected = 0
  const goesOn: Ticking['goesOn'] = async (numbers, deadlineMs) => {
    for (const end = expected + numbers; expected < end; expected++) {
      const line = await next(deadlineMs)
      if (line !== String(expected)) throw new Error(`expected ${expected}, got ${line}`)
    }
  }
  await goesOn(1)
  return {
    goesOn,
    async ends(deadlineMs) {
      const late = new Error(`kubectl exec goes on after ${deadlineMs} ms`)
      const { promise, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(late), deadlineMs)
      await Promise.race([ended, promise]).finally(() => clearTimeout(timer))
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
