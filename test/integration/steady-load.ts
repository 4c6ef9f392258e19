/**
 * Clients that never stop: short requests all the time, and transfers that take a while. Each picks a server that says it is
 * ready, as a balancer with health checks does; whatever fails is kept.
 */
import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { echoOver, type Frontend, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, receivePattern, sendSlowly } from './transfer.ts'

type Server = Frontend & { readonly healthPort: number }

/** How often it is asked who is ready: milliseconds. Far more often than a balancer does, but not always. */
const ASK_READY_MS = 100
const REQUESTERS = 4
const TRANSFERERS = 3
/** Between two requests of one requester: milliseconds. */
const PAUSE_MS = 20
/** Of a transfer, which takes two seconds or more, so that some are under way whenever something happens. */
const TRANSFER_BYTES = 2_000_003
const PIECE_BYTES = 40_009
const PIECE_EVERY_MS = 40
const whole = expectedHash(TRANSFER_BYTES)

export type SteadyLoad = {
  /** What went wrong, in words. */
  readonly failures: readonly string[]
  readonly count: () => { readonly requests: number; readonly transfers: number }
  /** Waits until so many more of each have been finished. */
  readonly goesOn: (requests: number, transfers: number) => Promise<void>
  /** Lets what is under way end. */
  readonly stop: () => Promise<void>
}

/**
 * @param servers those that there are at the moment; asked for all the time
 * @param halfClose whether clients end their side before the answer has ended, which konnectivity breaks
 */
export async function startLoad(t: Test, servers: () => readonly Server[], halfClose = true): Promise<SteadyLoad> {
  const target = await listenTarget(t, echo)
  const failures: string[] = []
  const done = { requests: 0, transfers: 0 }
  let ready: readonly Server[] = servers()
  let stopped = false

  async function watchReadiness(): Promise<void> {
    while (!stopped) {
      const answers = await Promise.all(servers().map(async (server) => ((await isReady(server)) ? [server] : [])))
      ready = answers.flat()
      await pause(ASK_READY_MS)
    }
  }

  async function request(): Promise<void> {
    const socket = await open()
    await echoOver(socket, `request ${done.requests}`)
    await echoOver(socket, `and another one`)
    socket.destroy()
    done.requests++
  }

  async function transfer(): Promise<void> {
    const socket = await open()
    const sent = sendSlowly(socket, TRANSFER_BYTES, PIECE_BYTES, PIECE_EVERY_MS)
    const hash = halfClose ? receiveAll(socket).then((got) => got.hash) : receivePattern(socket, TRANSFER_BYTES)
    await Promise.all([halfClose ? sent.then(() => socket.end()) : sent, hash])
    if ((await hash) !== whole) throw new Error('other bytes came back')
    socket.destroy()
    done.transfers++
  }

  async function open(): Promise<Socket> {
    const server = ready[randomInt(Math.max(1, ready.length))]
    if (!server) throw new Error('no server is ready')
    return openTunnel(server, target.address)
  }

  async function again(what: string, act: () => Promise<void>, pauseMs: number): Promise<void> {
    while (!stopped) {
      await act().catch((error: Error) => failures.push(`${what}: ${error.message}`))
      await pause(pauseMs)
    }
  }

  const workers = [
    watchReadiness(),
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

async function isReady(server: Server): Promise<boolean> {
  const answer = await fetchFrom(server.healthPort, '/readyz').catch(() => undefined)
  await answer?.text()
  return answer?.status === 200
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
