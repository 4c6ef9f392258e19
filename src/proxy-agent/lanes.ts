/**
 * The lanes of one link: opened when a connection carries much, with tokens that the server gives over the stream, closed when
 * nothing uses them. Without any, all goes over the stream. Source: docs/protocol.md section 10.
 */
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { ByteCarrier } from '../tunnel/byte-carrier.ts'
import type { Carrier } from '../tunnel/carrier.ts'
import { joinLane } from '../tunnel/lane.ts'
import { IDLE_WINDOW_MS } from '../tunnel/reclaim.ts'
import type { Session } from '../tunnel/session-owner.ts'
import { MAX_LANES } from './core/lane-count.ts'
import { empty, emptySlot, enter, fail, nextTryMs, type Slot, slotsToAsk } from './core/lane-slots.ts'
import type { AgentMetrics, LaneEnd, LaneFailure } from './metrics.ts'

/** From the first SYN to the server's answer: milliseconds. */
const OPEN_TIMEOUT_MS = 10_000
/** How long lanes may take to end in order, when their link ends: milliseconds. */
const FINISH_TIMEOUT_MS = 5_000

export type LanesDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<AgentMetrics, 'packets' | 'laneOpened' | 'laneEnded' | 'laneFailed'>
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly session: Session
  /** How many there should be now. */
  readonly count: () => number
  /** The server is the reason that a lane broke, or did not come to be. */
  readonly misused: (why: 'broken' | 'slow') => void
  /** A connection to the server of the link, half-open; it has no listeners yet. */
  readonly connect: () => TLSSocket
}

/** Disposing it destroys them. */
export type Lanes = Disposable & {
  /** A connection carries much: called again and again. */
  readonly wanted: () => void
  /** The server gave a token. @returns whether it was asked for one */
  readonly offered: (lane: number, token: Uint8Array) => boolean
  /** Nothing uses this one any more, and nothing goes over it. */
  readonly idle: (lane: Carrier) => void
  /** Nothing is heard on this one. */
  readonly dead: (lane: Carrier) => void
  /** Ends all in good order, and calls back when they are gone. */
  readonly finish: (then: () => void) => void
}

type Standing = { readonly slot: Slot; readonly socket: TLSSocket; how: LaneEnd }

export function createLanes({ clock, log, metrics, random, session, count, misused, connect }: LanesDeps): Lanes {
  const slots = Array.from({ length: MAX_LANES }, emptySlot)
  const joining = new Set<TLSSocket>()
  const lanes = new Map<ByteCarrier, Standing>()
  let state: 'open' | 'finishing' | 'over' = 'open'
  let finished: (() => void) | undefined
  let wantedMs = Number.NEGATIVE_INFINITY
  let owed = 0 // tokens that were asked for, which come in the end however late
  let retry: Disposable | undefined

  function open(index: number, token: Uint8Array, slot: Slot): void {
    const socket = connect()
    let failure: LaneFailure = 'connect'
    let lane: ByteCarrier | undefined
    const deadline = clock.after(OPEN_TIMEOUT_MS, () => giveUp('slow'))
    enter(slot, 'joining', clock.now())
    joining.add(socket)

    function giveUp(why: LaneFailure): void {
      failure = why
      if (why === 'broken' || (why === 'slow' && socket.authorized)) misused(why)
      socket.destroy()
    }

    function brokeOff(error: unknown): void {
      log.warn({ err: error, lane: index }, 'lane ended by the agent')
      const standing = lane && lanes.get(lane)
      if (standing) standing.how = 'broken'
      giveUp('broken')
    }

    const options = { index, stream: socket, session, count: metrics.packets, now: clock.now, failed: brokeOff }
    socket.on('error', (error) => log.debug({ err: error, lane: index }, 'lane error'))
    socket.once('end', () => lane ?? socket.destroy()) // half-open is for lanes that stand
    socket.once('secureConnect', () =>
      joinLane(options, token, {
        joined(made) {
          deadline[Symbol.dispose]()
          lane = made
          stands(made, socket, slot)
        },
        refused: () => giveUp('refused'),
      }),
    )
    socket.once('close', () => {
      deadline[Symbol.dispose]()
      joining.delete(socket)
      if (lane) ended(lane)
      else failed(slot, failure)
    })
  }

  function stands(lane: ByteCarrier, socket: TLSSocket, slot: Slot): void {
    joining.delete(socket)
    enter(slot, 'open', clock.now())
    const standing: Standing = { slot, socket, how: 'lost' }
    lanes.set(lane, standing)
    metrics.laneOpened()
    log.debug({ lane: lane.index }, 'lane opened')
    socket.once('end', () => {
      standing.how = 'finished'
    })
    if (state !== 'open') end(lane)
  }

  function ended(lane: ByteCarrier): void {
    const standing = lanes.get(lane)
    if (!standing) return
    const { slot, how } = standing
    lanes.delete(lane)
    if (how === 'finished') empty(slot)
    else fail(slot, clock.now(), random())
    retryLater()
    metrics.laneEnded(how)
    log.debug({ lane: lane.index, how }, 'lane ended')
    if (lanes.size === 0) finished?.()
  }

  function failed(slot: Slot, why: LaneFailure): void {
    fail(slot, clock.now(), random())
    if (state !== 'open') return
    retryLater()
    metrics.laneFailed(why)
    log.debug({ why, failures: slot.failures }, 'no lane')
  }

  function end(lane: ByteCarrier): void {
    session.retire(lane)
    lane.end()
  }

  function destroyAll(): void {
    for (const socket of joining) socket.destroy()
    for (const { socket } of lanes.values()) socket.destroy()
  }

  function ask(): void {
    const most = count()
    if (state !== 'open' || most === 0) return
    const nowMs = clock.now()
    const asking = slotsToAsk(slots, most, nowMs)
    for (const slot of asking) enter(slot, 'asked', nowMs)
    if (asking.length > 0) session.askForLanes(asking.length)
    owed += asking.length
    retryLater()
  }

  /** What failed is tried again by itself for as long as those who want lanes are taken to: up to the session's next look at them. */
  function retryLater(): void {
    if (retry || state !== 'open') return
    const nowMs = clock.now()
    const atMs = nextTryMs(slots, count(), nowMs)
    if (atMs > wantedMs + IDLE_WINDOW_MS) return
    retry = clock.after(atMs - nowMs, () => {
      retry = undefined
      ask()
    })
  }

  return {
    wanted() {
      wantedMs = clock.now()
      ask()
    },
    offered(lane, token) {
      const slot = slots.find((it) => it.state === 'asked')
      if (state === 'open' && slot) open(lane, Uint8Array.from(token), slot)
      const wasAsked = owed > 0
      if (wasAsked) owed--
      return wasAsked
    },
    idle: (lane) => (lane as ByteCarrier).end(),
    dead(lane) {
      const standing = lanes.get(lane as ByteCarrier)
      if (!standing) return
      standing.how = 'dead'
      standing.socket.destroy()
    },
    finish(then) {
      state = 'finishing'
      retry?.[Symbol.dispose]()
      finished = then
      for (const socket of joining) socket.destroy()
      if (lanes.size === 0) return then()
      for (const lane of lanes.keys()) end(lane)
      clock.after(FINISH_TIMEOUT_MS, destroyAll)
    },
    [Symbol.dispose]() {
      state = 'over'
      finished = undefined
      retry?.[Symbol.dispose]()
      destroyAll()
    },
  }
}
