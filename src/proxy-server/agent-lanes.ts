/**
 * The lanes of one agent's stream, on the server: tokens for those that the agent asks for, and the ones that stand.
 * Source: docs/protocol.md section 10.
 */
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { ByteCarrier } from '../tunnel/byte-carrier.ts'
import type { Carrier } from '../tunnel/carrier.ts'
import { serveLane } from '../tunnel/lane.ts'
import type { Session } from '../tunnel/session-owner.ts'
import type { LaneTokens } from './lane-tokens.ts'
import type { LaneEnd, ServerMetrics } from './metrics.ts'

type Standing = { readonly socket: TLSSocket; how: LaneEnd }

export type AgentLanesDeps = {
  readonly session: Session
  readonly tokens: LaneTokens
  /** Whose certificate the stream's connection showed: its lanes must show one of the same. */
  readonly principal: string
  /** This one is about to carry the agent's. */
  readonly joined: (lane: TLSSocket) => void
  /** Lanes that stand, and tokens that are out, together. */
  readonly most: number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'packets' | 'laneOpened' | 'laneEnded'>
}

/** Disposing it destroys what stands and takes back what is out. */
export type AgentLanes = Disposable & {
  /** The agent asks for tokens for so many lanes. */
  readonly wanted: (count: number) => void
  readonly sockets: () => readonly TLSSocket[]
  /** Nothing is heard on this one. */
  readonly dead: (lane: Carrier) => void
  /** Ends all in good order, and calls back when they are gone. */
  readonly finish: (then: () => void) => void
}

function destroy(standing: Standing, how: LaneEnd): void {
  standing.how = how
  standing.socket.destroy()
}

export function createAgentLanes(deps: AgentLanesDeps): AgentLanes {
  const { session, tokens, principal, joined, most, clock, log, metrics } = deps
  const out = new Set<Disposable>() // tokens, the oldest first
  const lanes = new Map<ByteCarrier, Standing>()
  let last = 0 // a number is never used again: a MOVE to it may still be under way
  let finished: (() => void) | undefined

  function offer(): void {
    const index = ++last
    const offered = tokens.give(
      principal,
      (socket) => {
        out.delete(offered)
        serve(index, socket)
      },
      () => out.delete(offered),
    )
    out.add(offered)
    session.offerLane(index, offered.token)
  }

  function takeBackOldest(): void {
    for (const oldest of out) {
      oldest[Symbol.dispose]()
      out.delete(oldest)
      return
    }
  }

  function serve(index: number, socket: TLSSocket): void {
    const standing: Standing = { socket, how: 'lost' }
    socket.allowHalfOpen = true
    const lane = serveLane({
      index,
      stream: socket,
      session,
      count: metrics.packets,
      now: clock.now,
      failed(error) {
        log.warn({ err: error, lane: index }, 'lane ended by the server')
        destroy(standing, 'broken')
      },
    })
    lanes.set(lane, standing)
    joined(socket)
    metrics.laneOpened()
    log.debug({ lane: index }, 'lane opened')
    socket.once('end', () => {
      standing.how = 'finished'
    })
    socket.once('close', () => {
      lanes.delete(lane)
      metrics.laneEnded(standing.how)
      log.debug({ lane: index, how: standing.how }, 'lane ended')
      if (lanes.size === 0) finished?.()
    })
  }

  return {
    wanted(count) {
      for (let asked = Math.min(count, most - lanes.size); asked > 0; asked--) {
        if (lanes.size + out.size >= most) takeBackOldest() // it goes with an attempt that the agent has given up
        offer()
      }
    },
    sockets: () => [...lanes.values()].map(({ socket }) => socket),
    dead(lane) {
      const standing = lanes.get(lane as ByteCarrier)
      if (standing) destroy(standing, 'dead')
    },
    finish(then) {
      finished = then
      for (const lane of lanes.keys()) {
        session.retire(lane)
        lane.end()
      }
      if (lanes.size === 0) then()
    },
    [Symbol.dispose]() {
      for (const offered of out) offered[Symbol.dispose]()
      out.clear()
      for (const { socket } of lanes.values()) socket.destroy()
    },
  }
}
