/**
 * Clients that never stop: some transfer, compare by hash, close and dial again, some hold a connection for a while and say a
 * word now and then. What came of each connection is kept, with its time.
 */
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import { readBytes } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { expectedHash, receivePattern, sendPattern } from '../integration/transfer.ts'
import type { Answer, Ask } from './frontend.ts'

const TRANSFERRERS = 4
const HOLDERS = 2
const TRANSFER_BYTES = 300_000
/** Under the time that our programs give to what is open when they are told to end. */
const HOLD_MS = 2_000
const WORD = 'word'
const WORD_EVERY_MS = 20
const DIAL_AGAIN_MS = 50
/** Longer than any wait of an attempt. */
const STUCK_DEADLINE_MS = 90_000

/**
 * `refused`: there was no connection. `broken`: it ended before it was done. `wrong`: other bytes came than were sent.
 * `stuck`: nothing happened for longer than anything may take.
 */
export type Outcome = 'whole' | 'refused' | 'broken' | 'wrong' | 'stuck'
export type Attempt = {
  readonly by: 'transfer' | 'hold'
  readonly startedMs: number
  readonly endedMs: number
  readonly outcome: Outcome
  readonly why: string
}

export type Traffic = {
  /** Those that have ended. */
  readonly attempts: readonly Attempt[]
  /** So many transfers that began after this call have ended well. */
  readonly more: (count: number) => Promise<void>
  /** All that began before that time have ended. */
  readonly settled: (beforeMs: number) => Promise<void>
  readonly stop: () => Promise<void>
}

export async function startTraffic(t: Test, ask: Ask): Promise<Traffic> {
  const target = await listenTarget(t, echo)
  const attempts: Attempt[] = []
  const underWay = new Set<number>()
  let going = true

  async function once(work: (socket: Socket) => Promise<boolean>): Promise<Pick<Attempt, 'outcome' | 'why'>> {
    const answer = await ask(target.address).catch(({ message }: Error): Answer => ({ kind: 'refused', says: message }))
    if (answer.kind === 'refused') return { outcome: isLate(answer.says) ? 'stuck' : 'refused', why: answer.says }
    try {
      return { outcome: (await work(answer.socket)) ? 'whole' : 'wrong', why: '' }
    } catch (error) {
      const why = (error as Error).message
      return { outcome: isLate(why) ? 'stuck' : 'broken', why }
    } finally {
      answer.socket.destroy()
    }
  }

  async function repeat(by: Attempt['by'], work: (socket: Socket) => Promise<boolean>): Promise<void> {
    while (going) {
      const startedMs = performance.now()
      underWay.add(startedMs)
      const attempt = await once(work)
      underWay.delete(startedMs)
      attempts.push({ by, startedMs, endedMs: performance.now(), ...attempt })
      if (attempt.outcome === 'refused') await wait(DIAL_AGAIN_MS)
    }
  }

  const all = [
    ...Array.from({ length: TRANSFERRERS }, () => repeat('transfer', transfer)),
    ...Array.from({ length: HOLDERS }, () => repeat('hold', hold)),
  ]
  const stop = async (): Promise<void> => {
    going = false
    await Promise.all(all)
  }
  t.teardown(stop)
  return {
    attempts,
    async more(count) {
      const fromMs = performance.now()
      await eventually(
        `${count} more transfers`,
        () =>
          attempts.filter(
            ({ by, startedMs, outcome }) => by === 'transfer' && startedMs > fromMs && outcome === 'whole',
          ).length,
        (whole) => whole >= count,
      )
    },
    async settled(beforeMs) {
      await eventually(
        'all attempts have ended',
        () => [...underWay].filter((startedMs) => startedMs < beforeMs).length,
        (count) => count === 0,
        STUCK_DEADLINE_MS,
      )
    },
    stop,
  }
}

async function transfer(socket: Socket): Promise<boolean> {
  const [hash] = await Promise.all([receivePattern(socket, TRANSFER_BYTES), sendPattern(socket, TRANSFER_BYTES)])
  return hash === expectedHash(TRANSFER_BYTES)
}

async function hold(socket: Socket): Promise<boolean> {
  const endMs = performance.now() + HOLD_MS
  while (performance.now() < endMs) {
    const back = readBytes(socket, WORD.length)
    socket.write(WORD)
    if ((await back).toString() !== WORD) return false
    await wait(WORD_EVERY_MS)
  }
  return true
}

/** The words of `within`. */
const isLate = (message: string): boolean => message.startsWith('did not happen within')
