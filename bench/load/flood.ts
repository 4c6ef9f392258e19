/** A client that dials and minds no refusal, as fast as it is answered, until it is told to end. */
import { within } from './deadline.ts'
import { openTunnel, Refused } from './tunnel.ts'
import type { Where } from './tunnel-set.ts'

export type FloodJob = Where & {
  /** Dials under way at any time. */
  readonly atOnce: number
  /** Longest wait for an answer, after which it dials again. */
  readonly deadlineMs: number
}

let end: (() => Promise<{ readonly perSecond: number }>) | undefined

/** Begins, and returns when one dial was answered, whatever the answer. @throws Error when none is in time: that is no flood */
export async function flood(job: FloodJob): Promise<void> {
  const begun = Promise.withResolvers<void>()
  const startMs = performance.now()
  const over = new AbortController()
  const nobody = { receive: () => true, broken: () => undefined, givenUp: over.signal }
  let answered = 0
  const isAnswered = (): Promise<boolean> =>
    openTunnel(job.frontend, job.target, job.deadlineMs, nobody).then(
      (tunnel) => {
        tunnel.close()
        return true
      },
      (error: Error) => error instanceof Refused,
    )
  const dial = async (): Promise<void> => {
    while (!over.signal.aborted) {
      if (!(await isAnswered()) || over.signal.aborted) continue
      answered++
      begun.resolve()
    }
  }
  const dials = Promise.all(Array.from({ length: job.atOnce }, dial))
  end = async () => {
    over.abort()
    const seconds = (performance.now() - startMs) / 1_000
    await dials
    return { perSecond: answered / seconds }
  }
  await within(job.deadlineMs, 'first answer to a dial of the flood', begun.promise).catch((error) => {
    over.abort()
    throw error
  })
}

/** Gives how many dials were answered. */
export async function endFlood(): Promise<{ readonly perSecond: number }> {
  if (!end) throw new Error('there is no flood')
  return end()
}
