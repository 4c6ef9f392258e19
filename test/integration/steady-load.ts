/** Clients that never stop: short requests all the time, and transfers that take a while. Whatever fails is kept. */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import { echoOver } from './client.ts'
import { eventually, within } from './deadline.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, receivePattern, sendSlowly } from './transfer.ts'

const REQUESTERS = 4
const TRANSFERERS = 3
/** Between two requests of one requester: milliseconds. */
const PAUSE_MS = 20
/** Of a transfer, which takes two seconds or more, so that some are under way whenever something happens. */
const TRANSFER_BYTES = 2_000_003
const PIECE_BYTES = 40_009
const PIECE_EVERY_MS = 40
const whole = expectedHash(TRANSFER_BYTES)

/** A tunnel to that target. What goes wrong when it is destroyed is its error. */
export type Dial = (address: string) => Promise<Duplex>

export type SteadyLoad = {
  /** What went wrong, in words. */
  readonly failures: readonly string[]
  readonly count: () => { readonly requests: number; readonly transfers: number }
  /** Waits until so many more of each have been finished. */
  readonly goesOn: (requests: number, transfers: number) => Promise<void>
  /** Lets what is under way end. */
  readonly stop: () => Promise<void>
}

export type LoadOptions = {
  /** Clients end their side before the answer has ended, which konnectivity and all of gRPC mode break. */
  readonly halfClose: boolean
  /** Whose failures they are. */
  readonly name?: string
}

export async function startLoad(t: Test, dial: Dial, { halfClose, name = '' }: LoadOptions): Promise<SteadyLoad> {
  const target = await listenTarget(t, echo)
  const failures: string[] = []
  const done = { requests: 0, transfers: 0 }
  let stopped = false

  async function request(): Promise<void> {
    const socket = await dial(target.address)
    await echoOver(socket, `request ${done.requests}`)
    await echoOver(socket, `and another one`)
    await hangUp(socket)
    done.requests++
  }

  async function transfer(): Promise<void> {
    const socket = await dial(target.address)
    const sent = sendSlowly(socket, TRANSFER_BYTES, PIECE_BYTES, PIECE_EVERY_MS)
    const hash = halfClose ? receiveAll(socket).then((got) => got.hash) : receivePattern(socket, TRANSFER_BYTES)
    await Promise.all([halfClose ? sent.then(() => socket.end()) : sent, hash])
    if ((await hash) !== whole) throw new Error('other bytes came back')
    await hangUp(socket)
    done.transfers++
  }

  async function again(what: string, act: () => Promise<void>, pauseMs: number): Promise<void> {
    while (!stopped) {
      await act().catch((error: Error) => failures.push(`${name} ${what}: ${error.message}`))
      await pause(pauseMs)
    }
  }

  const workers = [
    ...Array.from({ length: REQUESTERS }, () => again('request', request, PAUSE_MS)),
    ...Array.from({ length: TRANSFERERS }, () => again('transfer', transfer, PAUSE_MS)),
  ]
  const stop = async (): Promise<void> => {
    stopped = true
    await Promise.all(workers)
  }
  t.teardown(stop)

  return {
    failures,
    count: () => ({ ...done }),
    async goesOn(requests, transfers) {
      const before = { ...done }
      await eventually(
        `${requests} more requests and ${transfers} more transfers`,
        () =>
          failures.length > 0 ||
          (done.requests >= before.requests + requests && done.transfers >= before.transfers + transfers),
        (enough) => enough,
      )
    },
    stop,
  }
}

/** Until it is gone. @throws the stream's error */
async function hangUp(stream: Duplex): Promise<void> {
  if (stream.closed) return
  const closed = once(stream, 'close')
  stream.destroy()
  await within(closed, 'the end of a tunnel')
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** All of them as one. */
export const together = (loads: readonly SteadyLoad[]): SteadyLoad => ({
  get failures() {
    return loads.flatMap(({ failures }) => failures)
  },
  count() {
    const counts = loads.map(({ count }) => count())
    const sum = (of: 'requests' | 'transfers'): number => counts.reduce((total, one) => total + one[of], 0)
    return { requests: sum('requests'), transfers: sum('transfers') }
  },
  async goesOn(requests, transfers) {
    await Promise.all(loads.map(({ goesOn }) => goesOn(requests, transfers)))
  },
  async stop() {
    await Promise.all(loads.map(({ stop }) => stop()))
  },
})
