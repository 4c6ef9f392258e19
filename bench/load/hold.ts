/** Tunnels that are opened and kept: idle ones, and ones whose client never reads. */
import { START } from './bulk.ts'
import { NoAnswer } from './control.ts'
import { within } from './deadline.ts'
import { openEcho } from './exchanges.ts'
import { ANSWER_DEADLINE_MS, type TunnelSet, tunnelSet, type Where } from './tunnel-set.ts'

export type HoldJob = Where & {
  readonly count: number
  /** idle: one exchange with the echo, then silence. stalled: of a source, nothing is ever read. */
  readonly kind: 'idle' | 'stalled'
  readonly atOnce: number
  readonly deadlineMs: number
}

type Held = { readonly tunnels: TunnelSet; readonly exchanges: readonly (() => Promise<number>)[] }
let held: Held[] = []

/** Opens tunnels, `atOnce` at a time, and gives the number that opened within the deadline of each. */
export async function hold(job: HoldJob): Promise<{ readonly opened: number }> {
  const tunnels = tunnelSet(job.deadlineMs)
  const exchanges: (() => Promise<number>)[] = []
  let asked = 0
  let opened = 0
  const openSome = async (): Promise<void> => {
    while (asked < job.count) {
      asked++
      if (await isOpened(openOne(tunnels, job, exchanges))) opened++
    }
  }
  try {
    await tunnels.unlessBroken(Promise.all(Array.from({ length: job.atOnce }, openSome)))
  } catch (error) {
    tunnels[Symbol.dispose]()
    throw error
  }
  held.push({ tunnels, exchanges })
  return { opened }
}

/** Closes what is held, the idle ones after another exchange. @throws Error when a tunnel did not last until now */
export async function release(): Promise<void> {
  const ending = held
  held = []
  try {
    for (const { tunnels, exchanges } of ending) {
      const last = Promise.all(exchanges.map((exchange) => exchange()))
      await within(ANSWER_DEADLINE_MS, 'exchange of a held tunnel', tunnels.unlessBroken(last))
      const failure = tunnels.failure()
      if (failure !== undefined) throw failure
    }
  } catch (cause) {
    throw new Error(`a held tunnel broke: ${(cause as Error).message}`, { cause })
  } finally {
    for (const { tunnels } of ending) tunnels[Symbol.dispose]()
  }
}

async function openOne(tunnels: TunnelSet, job: HoldJob, exchanges: (() => Promise<number>)[]): Promise<void> {
  if (job.kind === 'stalled') {
    const tunnel = await tunnels.open(job, () => false)
    tunnel.write(START)
    return
  }
  const exchange = await openEcho(tunnels, job)
  await within(job.deadlineMs, 'exchange', exchange())
  exchanges.push(exchange)
}

async function isOpened(opening: Promise<void>): Promise<boolean> {
  try {
    await opening
    return true
  } catch (error) {
    if (error instanceof NoAnswer) return false
    throw error
  }
}
