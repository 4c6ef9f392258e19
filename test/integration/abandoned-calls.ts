/** Calls of gRPC mode that are begun and left alone: in every state that they can be in, in every way that a client may go. */
import type { ClientHttp2Session } from 'node:http2'
import type { Test } from 'tap'
import type { Server } from './tunnel.ts'
import { dialRequest, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const CANCEL = 8
const AT_ONCE = 32
/** So many calls of a shared HTTP/2 connection come and go before it is broken with those that run on it. */
const CALLS_OF_A_CONNECTION = 1_500
/** One in so many calls has an HTTP/2 connection of its own. Not a multiple of the ways to go: each goes in each way. */
const OWN_CONNECTION_EVERY = 4
const UPLOAD_BYTES = 96 * 1024
/** The head of a message of 1 MiB that is not DATA, and a tenth of it: more than the server holds for nothing. */
const BEGUN = Buffer.concat([Buffer.from([0, 0, 0x10, 0, 0]), Buffer.alloc(UPLOAD_BYTES, 0x12)])

/** Addresses. */
export type Abandonment = {
  /** Reads what comes. */
  readonly target: string
  /** Is asked for by those who do not wait for the answer. */
  readonly slow: string
  /** Sends at once, much more than the first bytes. */
  readonly source: string
}

type Begin = (call: WireCall, to: Abandonment) => Promise<unknown> | undefined

const stages = {
  'before it has said anything': () => undefined,
  'before the answer': (call, { slow }) => void call.send(dialRequest(slow)),
  'after the answer': (call, { target }) => call.dial(target),
  'in an upload': async (call, { target }) => call.sendData(await call.dial(target), Buffer.alloc(UPLOAD_BYTES)),
  'in a download': async (call, { source }) => call.data(await call.dial(source), 1),
  async 'in a message'(call, { target }) {
    await call.dial(target)
    call.sendRaw(BEGUN)
  },
} as const satisfies Record<string, Begin>
type Stage = keyof typeof stages

const ways = ['resets', 'ends its side', 'hangs up'] as const

async function leave(http: ClientHttp2Session, call: WireCall, way: (typeof ways)[number]): Promise<void> {
  call.take = () => {}
  if (way === 'resets') call.stream.close(CANCEL)
  if (way === 'ends its side') call.stream.end()
  if (way === 'hangs up') http.destroy()
  await call.closed
}

/**
 * Begins so many calls and leaves them: some on HTTP/2 connections of their own, most on one that is shared. What
 * others have begun on a shared one when it breaks is left in that way.
 */
export async function abandonCalls(
  t: Test,
  server: Server,
  count: number,
  to: Abandonment,
  when: readonly Stage[] = Object.keys(stages) as Stage[],
): Promise<void> {
  let shared = joinFrontend(t, server)
  let begun = 0

  async function abandon(index: number): Promise<void> {
    const begin: Begin = stages[when[index % when.length]!]
    const round = Math.floor(index / when.length)
    const way = ways[round % ways.length]!
    if (round % OWN_CONNECTION_EVERY === 0) {
      const http = await joinFrontend(t, server)
      const call = openCall(http)
      await begin(call, to)
      await leave(http, call, way)
      http.destroy()
      return
    }
    const http = await shared
    if (http.destroyed) return
    const last = index % CALLS_OF_A_CONNECTION === when.length
    if (last) shared = joinFrontend(t, server)
    const call = openCall(http)
    await begin(call, to)?.catch((error: unknown) => {
      if (!http.destroyed) throw error
    })
    await leave(http, call, last ? 'hangs up' : way === 'hangs up' ? 'resets' : way)
  }

  const worker = async (): Promise<void> => {
    while (begun < count) await abandon(begun++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const http = await shared
  http.destroy()
}
