/** A crowd of agents of many clusters (`agent-crowd.ts`), all of which can be cut off at once. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { CrowdJob, CrowdOrder, CrowdReport } from './agent-crowd.ts'
import { event, within } from './deadline.ts'

export type Crowd = {
  /** Breaks the connections of all, and waits until all are back. */
  readonly cutAll: () => Promise<CrowdReport>
  /** How it was when all were there for the first time. */
  readonly joined: CrowdReport
}

/** @param deadlines for all to be there, and to be back: milliseconds */
export async function startCrowd(
  t: Test,
  job: CrowdJob,
  { joinMs, backMs }: { readonly joinMs: number; readonly backMs: number },
): Promise<Crowd> {
  const child = fork(join(import.meta.dirname, 'agent-crowd.ts'), { serialization: 'json' })
  t.teardown(async () => {
    const closed = event(child, 'close')
    child.kill('SIGKILL')
    await closed
  })
  async function tell(order: CrowdOrder, what: string, deadlineMs: number): Promise<CrowdReport> {
    let last: CrowdReport | undefined
    const all = new Promise<CrowdReport>((resolve, reject) => {
      const heard = (message: unknown): void => {
        last = message as CrowdReport
        if (!last.isAll) return
        child.off('message', heard)
        resolve(last)
      }
      child.on('message', heard)
      child.once('exit', () => reject(new Error('the crowd has ended')))
    })
    child.send(order)
    try {
      return await within(all, what, deadlineMs)
    } catch (cause) {
      throw new Error(`${(cause as Error).message}; last ${JSON.stringify(last)}`, { cause })
    }
  }
  return {
    joined: await tell({ do: 'join', job }, `${job.agents} agents are connected`, joinMs),
    cutAll: () => tell({ do: 'cut' }, `${job.agents} agents that were cut off are back`, backMs),
  }
}
