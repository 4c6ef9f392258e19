/** Small exchanges with the target's `echo`: on tunnels that stay open, and on one tunnel each. */
import { setTimeout as sleep } from 'node:timers/promises'
import { processorMsOf, usedSince } from '../process-usage.ts'
import { NoAnswer } from './control.ts'
import { type TunnelSet, tunnelSet, type Watching, type Where } from './tunnel-set.ts'

export const MESSAGE_BYTES = 128

export type ExchangeJob = Where &
  Watching & {
    /** Default: MESSAGE_BYTES. */
    readonly messageBytes?: number
    /** Exchanges under way at any time. */
    readonly atOnce: number
    readonly warmUpMs: number
    readonly windowMs: number
    /** Longest wait for one answer. */
    readonly deadlineMs: number
  }
export type Times = { readonly p50Us: number; readonly p99Us: number }
/** Processor time is that of one exchange, of each process that is watched. */
export type RoundTripsResult = Times & { readonly perSecond: number; readonly processorMs: readonly number[] }
export type DialsResult = { readonly perSecond: number; readonly dial: Times; readonly processorMs: readonly number[] }

/** A message there and back, again and again, on `atOnce` tunnels. */
export async function roundTrips(job: ExchangeJob): Promise<RoundTripsResult> {
  using tunnels = tunnelSet(job.deadlineMs)
  const echoes = await tunnels.unlessBroken(
    Promise.all(Array.from({ length: job.atOnce }, () => openEcho(tunnels, job))),
  )
  const window = await repeat(job, tunnels, echoes)
  return { perSecond: window.count / window.seconds, processorMs: window.processorMs, ...times(window.us) }
}

/** A new tunnel for each exchange: CONNECT, 128 bytes there and back, close. The dial is timed until the 200. */
export async function dials(job: ExchangeJob): Promise<DialsResult> {
  using all = tunnelSet(job.deadlineMs)
  const once = async (): Promise<number> => {
    using tunnels = tunnelSet(job.deadlineMs)
    const started = performance.now()
    const exchange = await openEcho(tunnels, job)
    const dialedMs = performance.now() - started
    await tunnels.unlessBroken(exchange())
    return dialedMs
  }
  const window = await repeat(
    job,
    all,
    Array.from({ length: job.atOnce }, () => once),
  )
  return { perSecond: window.count / window.seconds, dial: times(window.us), processorMs: window.processorMs }
}

/** Opens a tunnel to the echo and gives a function that exchanges one message on it, in the milliseconds it took. */
export async function openEcho(
  tunnels: TunnelSet,
  job: Where & Pick<ExchangeJob, 'messageBytes'>,
): Promise<() => Promise<number>> {
  const { messageBytes = MESSAGE_BYTES } = job
  const message = Buffer.alloc(messageBytes)
  let sequence = 0
  let started = 0
  let missing = 0
  let answered = Promise.withResolvers<number>()
  const tunnel = await tunnels.open(job, (bytes, length) => {
    if (length > missing || bytes[length - 1] !== sequence) {
      tunnels.fail(new Error('round trip: the answer is not the message'))
    }
    missing -= length
    if (missing === 0) answered.resolve(performance.now() - started)
    return true
  })
  return () => {
    answered = Promise.withResolvers<number>()
    sequence = (sequence + 1) % 256
    message.fill(sequence)
    missing = messageBytes
    started = performance.now()
    tunnel.write(message)
    return answered.promise
  }
}

type Window = {
  readonly count: number
  readonly seconds: number
  readonly us: number[]
  readonly processorMs: readonly number[]
}

/** Runs each worker over and over; those that end within the window count, and every one must end. */
async function repeat(
  { warmUpMs, windowMs, deadlineMs, watched = [] }: ExchangeJob,
  tunnels: TunnelSet,
  workers: readonly (() => Promise<number>)[],
): Promise<Window> {
  let us: number[] = []
  let stopped = false
  const since = workers.map(() => performance.now())
  const running = Promise.all(
    workers.map(async (work, index) => {
      while (!stopped) {
        us.push((await work()) * 1000)
        since[index] = performance.now()
      }
      since[index] = Number.POSITIVE_INFINITY
    }),
  )
  running.catch(tunnels.fail)
  // One timer for all: one per exchange would cost the load more than the exchange.
  const watch = setInterval(() => {
    const oldestMs = performance.now() - Math.min(...since)
    if (oldestMs > deadlineMs) tunnels.fail(new NoAnswer(`exchange: no answer after ${deadlineMs} ms`))
  }, deadlineMs / 4)
  try {
    await tunnels.unlessBroken(sleep(warmUpMs))
    const before = await processorMsOf(watched)
    us = []
    const started = performance.now()
    await tunnels.unlessBroken(sleep(windowMs))
    const count = us.length
    const seconds = (performance.now() - started) / 1000
    const used = await usedSince(before, watched)
    stopped = true
    await tunnels.unlessBroken(running) // late ones still join `us`: a wait that outlasts the window is part of p99
    return { count, seconds, us, processorMs: used.map((ms) => ms / count) }
  } finally {
    stopped = true
    clearInterval(watch)
  }
}

function times(us: number[]): Times {
  if (us.length === 0) throw new NoAnswer('not one exchange ended within the window')
  const sorted = Float64Array.from(us).sort()
  return { p50Us: at(sorted, 0.5), p99Us: at(sorted, 0.99) }
}

function at(sorted: Float64Array, quantile: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(quantile * sorted.length) - 1)]!
}
