/** A client that dials without end and minds no refusal, as fast as it is answered. */
import { openTunnel } from './tunnel.ts'
import type { Where } from './tunnel-set.ts'

export type FloodJob = Where & {
  /** Dials under way at any time. */
  readonly atOnce: number
  readonly windowMs: number
  /** Longest wait for an answer, after which it dials again. */
  readonly deadlineMs: number
}

const nobody = { receive: () => true, broken: () => undefined }

/** Gives how many dials were answered, whatever the answer. */
export async function flood(job: FloodJob): Promise<{ readonly perSecond: number }> {
  const endMs = performance.now() + job.windowMs
  let answered = 0
  const dial = async (): Promise<void> => {
    for (;;) {
      const leftMs = endMs - performance.now()
      if (leftMs <= 0) return
      const patienceMs = Math.min(job.deadlineMs, leftMs)
      const tunnel = await openTunnel(job.frontend, job.target, patienceMs, nobody).catch(() => undefined)
      tunnel?.close()
      if (performance.now() < endMs) answered++
    }
  }
  await Promise.all(Array.from({ length: job.atOnce }, dial))
  return { perSecond: answered / (job.windowMs / 1000) }
}
