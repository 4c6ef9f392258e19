/** Tunnels that are opened and kept: idle ones, and ones whose client never reads. */
import { START } from './bulk.ts'
import { NoAnswer } from './control.ts'
import { within } from './deadline.ts'
import { openEcho } from './exchanges.ts'
import { type TunnelSet, tunnelSet, type Where } from './tunnel-set.ts'

export type HoldJob = Where & {
  readonly count: number
  /** idle: one exchange with the echo, then silence. stalled: of a source, nothing is ever read. */
  readonly kind: 'idle' | 'stalled'
  readonly atOnce: number
  readonly deadlineMs: number
}

let held: TunnelSet[] = []

/** Opens tunnels, `atOnce` at a time, and gives the number that opened within the deadline of each. */
export async function hold(job: HoldJob): Promise<{ readonly opened: number }> {
  const tunnels = tunnelSet(job.deadlineMs)
  held.push(tunnels)
  let asked = 0
  let opened = 0
  const openSome = async (): Promise<void> => {
    while (asked < job.count) {
      asked++
      if (await openOne(tunnels, job)) opened++
    }
  }
  await tunnels.unlessBroken(Promise.all(Array.from({ length: job.atOnce }, openSome)))
  return { opened }
}

/** Closes what is held. @throws Error when a held tunnel did not last until now */
export async function release(): Promise<void> {
  const failure = held.map((tunnels) => tunnels.failure()).find((error) => error !== undefined)
  for (const tunnels of held) tunnels[Symbol.dispose]()
  held = []
  if (failure !== undefined) throw new Error(`a held tunnel broke: ${failure.message}`)
}

async function openOne(tunnels: TunnelSet, job: HoldJob): Promise<boolean> {
  try {
    if (job.kind === 'idle') await within(job.deadlineMs, 'exchange', (await openEcho(tunnels, job))())
    else (await tunnels.open(job, () => false)).socket.write(START)
    return true
  } catch (error) {
    if (error instanceof NoAnswer) return false
    throw error
  }
}
