/** Bulk transfers: what is counted is what the receiving end got, so bytes lost on the way cannot look like speed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { processorMsOf, usedSince } from '../process-usage.ts'
import { within } from './deadline.ts'
import { block, DAMAGED, END_BYTE, fits } from './pattern.ts'
import type { Tunnel } from './tunnel.ts'
import { ANSWER_DEADLINE_MS, tunnelSet, type Watching, type Where } from './tunnel-set.ts'

export type BulkJob = Where &
  Watching & { readonly connections: number; readonly warmUpMs: number; readonly windowMs: number }
export type BulkResult = {
  readonly bytes: number
  readonly seconds: number
  readonly processorMs: readonly number[]
}

/** Has the target's `source` begin. */
export const START = Buffer.of(0)

/** Reads from the target's `source` for a window of time; the bytes that arrive within it count. */
export async function download(job: BulkJob): Promise<BulkResult> {
  using tunnels = tunnelSet()
  const { watched = [] } = job
  const received = Array.from({ length: job.connections }, () => 0)
  await tunnels.unlessBroken(
    Promise.all(
      received.map(async (_, index) => {
        let offset = 0
        const tunnel = await tunnels.open(job, (bytes, length) => {
          if (!fits(bytes, length, offset)) tunnels.fail(new Error(`download: wrong bytes at offset ${offset}`))
          offset += length
          received[index]! += length
          return true
        })
        tunnel.write(START)
      }),
    ),
  )
  await tunnels.unlessBroken(sleep(job.warmUpMs))
  const before = await processorMsOf(watched)
  received.fill(0)
  const started = performance.now()
  await tunnels.unlessBroken(sleep(job.windowMs))
  const seconds = (performance.now() - started) / 1000
  const bytes = sum(received)
  const processorMs = await usedSince(before, watched)
  const starved = received.filter((bytes) => bytes === 0).length
  if (starved > 0) throw new Error(`download: ${starved} of ${job.connections} connections received nothing`)
  return { bytes, seconds, processorMs }
}

/** Writes to the target's `sink` for a window of time; the clock stops when the target has acknowledged every byte. */
export async function upload(job: BulkJob): Promise<BulkResult> {
  using tunnels = tunnelSet()
  const { watched = [] } = job
  const uploads = await tunnels.unlessBroken(Promise.all(Array.from({ length: job.connections }, openUpload)))
  await transfer(job.warmUpMs)
  const before = await processorMsOf(watched)
  const started = performance.now()
  const bytes = await transfer(job.windowMs)
  const seconds = (performance.now() - started) / 1000
  return { bytes, seconds, processorMs: await usedSince(before, watched) }

  async function transfer(ms: number): Promise<number> {
    const stopAt = performance.now() + ms
    return sum(await tunnels.unlessBroken(Promise.all(uploads.map((upload) => upload(stopAt)))))
  }

  /** Gives a function that uploads until a moment and then waits for the target's count. */
  async function openUpload(): Promise<(stopAt: number) => Promise<number>> {
    const count = Buffer.alloc(8)
    let filled = 0
    let counted = Promise.withResolvers<number>()
    const tunnel = await tunnels.open(job, (bytes, length) => {
      count.set(bytes.subarray(0, Math.min(length, count.length - filled)), filled)
      filled += length
      if (filled < count.length) return true
      const arrived = count.readBigUInt64BE()
      if (arrived === DAMAGED) tunnels.fail(new Error('upload: wrong bytes arrived'))
      counted.resolve(Number(arrived))
      return true
    })
    return async (stopAt) => {
      filled = 0
      counted = Promise.withResolvers<number>()
      const sent = await writeUntil(tunnel, stopAt)
      const arrived = await within(ANSWER_DEADLINE_MS, 'upload', counted.promise)
      if (arrived !== sent) throw new Error(`upload: ${sent} bytes sent, ${arrived} arrived`)
      return arrived
    }
  }
}

/** Writes whole blocks, one at a time, then the byte that asks for the count; gives the bytes before that one. */
function writeUntil(tunnel: Tunnel, stopAt: number): Promise<number> {
  return new Promise((resolve) => {
    let sent = 0
    const more = (): void => {
      if (tunnel.isClosed()) return
      if (sent > 0 && performance.now() >= stopAt) {
        tunnel.write(Buffer.of(END_BYTE))
        return resolve(sent)
      }
      sent += block.length
      tunnel.write(block, more)
    }
    more()
  })
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
