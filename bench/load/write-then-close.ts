/** Transfers whose sender writes everything and closes at once, each on a tunnel of its own. */
import { within } from './deadline.ts'
import { NUMBER_BYTES } from './ledger.ts'
import { fits, pattern } from './pattern.ts'
import { openTunnel } from './tunnel.ts'
import { ANSWER_DEADLINE_MS, type Where } from './tunnel-set.ts'

export type ClosingJob = Where & {
  /** Bytes of each transfer; its place here is its number. */
  readonly sizes: readonly number[]
  readonly atOnce: number
}

/** The client writes to the target's `ledger`, which says what arrived. */
export async function writeThenClose(job: ClosingJob): Promise<void> {
  await inTurns(job, async (bytes, number) => {
    const { frontend, target } = job
    const taken = Promise.withResolvers<void>()
    const user = { receive: () => true, broken: () => taken.resolve() } // what a proxy that hangs up lost, the target tells
    const tunnel = await openTunnel(frontend, target, ANSWER_DEADLINE_MS, user)
    tunnel.write(Buffer.concat([eightBytes(number), pattern(bytes)]), taken.resolve)
    tunnel.finish()
    await within(ANSWER_DEADLINE_MS, 'write', taken.promise)
  })
}

/** The target's `giver` writes; gives what arrived of each. @throws Error when that is not the pattern */
export async function takeThenClose(job: ClosingJob): Promise<readonly number[]> {
  const arrived: number[] = []
  await inTurns(job, async (bytes, number) => {
    const { frontend, target } = job
    const over = Promise.withResolvers<void>()
    let count = 0
    const receive = (chunk: Uint8Array, length: number): boolean => {
      if (!fits(chunk, length, count)) over.reject(new Error(`write then close: wrong bytes at offset ${count}`))
      count += length
      return true
    }
    const tunnel = await openTunnel(frontend, target, ANSWER_DEADLINE_MS, { receive, broken: () => over.resolve() })
    tunnel.write(eightBytes(bytes))
    await within(ANSWER_DEADLINE_MS, 'end of what a target wrote', over.promise).finally(tunnel.close)
    arrived[number] = count
  })
  return arrived
}

async function inTurns(job: ClosingJob, run: (bytes: number, number: number) => Promise<void>): Promise<void> {
  const pending = job.sizes.entries()
  const runSome = async (): Promise<void> => {
    for (const [number, bytes] of pending) await run(bytes, number)
  }
  await Promise.all(Array.from({ length: job.atOnce }, runSome))
}

function eightBytes(value: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
