/**
 * A client that is not read, because its target takes nothing or its connection is not open yet: what it has sent is counted with all
 * else that waits (`core/unread.ts`), and whether it is still there is looked at (`vanished-client.ts`).
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import { reset } from '../tunnel/endpoint.ts'
import type { Unread, UnreadBytes } from './core/unread.ts'
import type { ServerMetrics } from './metrics.ts'
import { createVanishedCheck, type VanishedCheck } from './vanished-client.ts'

/** State of a client, and not an object beside it, as thousands may be open: both checks are made when it first pauses. */
export type UnreadClient = {
  readonly socket: Socket
  /** What carries it: itself, or the connection under its TLS. */
  readonly raw: Socket
  readonly deps: {
    readonly clock: Clock
    readonly unread: UnreadBytes
    readonly metrics: Pick<ServerMetrics, 'connectionForced'>
  }
  /** What was read from it and has gone no further. */
  received: Buffer
  unread: Unread | undefined
  vanished: VanishedCheck | undefined
}

/** Nothing is read from it from now on. */
export function clientPaused(client: UnreadClient): void {
  watchUnread(client, true)
  client.vanished ??= createVanishedCheck(client.socket, client.raw, client.deps.clock)
  client.vanished.paused()
}

/** Counts what is unread from now on, or no longer. Over the budget, whoever has most is reset. */
export function watchUnread(client: UnreadClient, on: boolean): void {
  const { socket, deps } = client
  if (on) {
    client.unread ??= deps.unread.join(
      () => client.received.length + socket.readableLength,
      () => giveUp(client),
    )
  }
  client.unread?.watch(on && !socket.destroyed)
}

/** Its socket is closed. */
export function unreadClientClosed(client: UnreadClient): void {
  watchUnread(client, false)
  client.vanished?.[Symbol.dispose]()
}

function giveUp(client: UnreadClient): void {
  client.deps.metrics.connectionForced('over-budget')
  client.received = NOTHING
  reset(client.socket)
}

const NOTHING: Buffer = Buffer.alloc(0)
