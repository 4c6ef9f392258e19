/**
 * The carriers of one session: the stream, without which there is no session, and the lanes that come and go. A lane is sent
 * on when the peer is known to have it, is given back when nothing uses it, and takes only its own connections with it when
 * it breaks. Pure. Source: docs/protocol.md section 10.
 */
import { givesWay, nextReadBytes } from './bulk.ts'
import type { Carrier } from './carrier.ts'
import type { Connection, Link, Outlet } from './connection.ts'
import { endsWell, hasEarly, uses } from './connection-carriers.ts'
import { type ConnectionTable, liveConnections } from './connection-table.ts'
import { lose, tellReset } from './ending.ts'
import { createLiveness, type LivenessTimes, look } from './liveness.ts'
import { move } from './moving.ts'
import { createScheduler } from './scheduler.ts'
import { permit, pump } from './sending.ts'
import { roomiest } from './steering.ts'

/** A lane that no connection has used for this long is closed: milliseconds. */
export const LANE_IDLE_MS = 600_000

export type OutletsDeps = {
  readonly link: Link
  readonly connections: ConnectionTable
  /** Of lanes, which are silent when they are dead as the stream is. */
  readonly liveness: LivenessTimes
  /** Nothing has come over this lane for too long, though its peer owes an answer: its owner ends it, and says `lost`. */
  readonly dead: (lane: Carrier) => void
  /** Agent: nothing has used this lane for long: its owner ends our side. */
  readonly idle: (lane: Carrier) => void
}

export type Outlets = {
  readonly byNumber: ReadonlyMap<number, Outlet>
  readonly primary: () => Outlet
  /** `undefined` for a carrier that is gone. */
  readonly of: (carrier: Carrier) => Outlet | undefined
  readonly add: (carrier: Carrier) => void
  /** Bytes came over a lane: the peer has it. */
  readonly heard: (lane: Carrier) => void
  /** Sends nothing more over the lane: what does moves home. */
  readonly retire: (lane: Carrier) => void
  /** The peer has ended its side of the lane, and all that it sent has come. */
  readonly ended: (lane: Carrier) => void
  readonly lost: (lane: Carrier) => void
  readonly tick: (nowMs: number) => void
  /** Called every few seconds. */
  readonly lookForIdle: (nowMs: number) => void
  /** Serves who waits for room, wherever. */
  readonly deal: () => void
  readonly clear: () => void
}

/** The server answers, so that both hear something of the lane now and then. */
const ping = (lane: Carrier): void => lane.control({ type: 'PING', nonce: 0 })

export function createOutlets({ link, connections, liveness, dead, idle }: OutletsDeps): Outlets {
  const outlets = new Map<number, Outlet>()
  /** One ring for all of them: whichever has room first serves who waits. */
  const lanes = createScheduler<Connection>(
    {
      room: () => roomiest(link.lanes)?.carrier.room() ?? 0,
      wake: () => {
        for (const { carrier } of link.lanes) carrier.wake()
      },
    },
    pump,
    permit,
    givesWay,
    nextReadBytes,
  )

  const of = (carrier: Carrier): Outlet | undefined => {
    const outlet = outlets.get(carrier.index)
    return outlet?.carrier === carrier ? outlet : undefined
  }

  function startSending(outlet: Outlet): void {
    link.lanes = [...link.lanes, outlet]
    outlet.carrier.wake() // for those who wait for room on another lane
  }

  function stopSending(outlet: Outlet): void {
    link.lanes = link.lanes.filter((lane) => lane !== outlet)
  }

  function breakThose(broken: (connection: Connection) => boolean): void {
    for (const connection of liveConnections(connections)) {
      if (connection.over || !broken(connection)) continue
      tellReset(connection, 'carrier-lost')
      lose(connection, 'carrier-lost')
    }
  }

  function retire(lane: Carrier): void {
    const outlet = of(lane)
    if (!outlet) return
    stopSending(outlet)
    for (const connection of connections.live.values()) {
      if (connection.out !== outlet) continue
      connection.steered = false
      move(connection, connection.home)
    }
    if (link.lanes.length === 0) lanes.clear()
  }

  return {
    byNumber: outlets,
    primary: () => outlets.get(0)!,
    of,
    add(carrier) {
      const outlet: Outlet = {
        carrier,
        scheduler:
          carrier.index > 0 ? lanes : createScheduler<Connection>(carrier, pump, permit, givesWay, nextReadBytes),
        load: 0,
        state: 'open',
        liveness: createLiveness(liveness, link.nowMs),
        usedMs: link.nowMs,
      }
      outlets.set(carrier.index, outlet)
      if (carrier.index === 0 || link.role === 'server') return // the agent may not know the lane yet: it speaks first
      startSending(outlet)
      ping(carrier)
    },
    heard(lane) {
      const outlet = of(lane)
      if (!outlet) return
      outlet.liveness.heard = true
      if (outlet.state !== 'open' || link.role === 'agent') return
      outlet.state = 'known'
      startSending(outlet)
    },
    retire,
    ended(lane) {
      const outlet = of(lane)
      if (!outlet) return
      outlet.state = 'ended'
      breakThose((connection) => !endsWell(connection, outlet))
      retire(lane)
    },
    lost(lane) {
      const outlet = of(lane)
      if (!outlet) return
      stopSending(outlet)
      if (outlet.state === 'ended')
        outlet.state = 'spent' // a MOVE to it may still be under way on another carrier
      else {
        outlets.delete(lane.index)
        breakThose((connection) => uses(connection, outlet))
      }
      if (link.lanes.length === 0) lanes.clear()
    },
    tick(nowMs) {
      for (const outlet of [...outlets.values()]) {
        const { carrier, state } = outlet
        if (carrier.index === 0 || state === 'spent') continue
        const due = look(outlet.liveness, nowMs)
        if (due === 'dead') dead(carrier)
        else if (due === 'beat' && link.role === 'agent' && link.lanes.includes(outlet)) ping(carrier)
      }
    },
    lookForIdle(nowMs) {
      const live = liveConnections(connections)
      for (const [index, outlet] of [...outlets]) {
        if (index === 0) continue
        if (outlet.state === 'spent') {
          if (!live.some((connection) => hasEarly(connection, outlet))) outlets.delete(index)
          continue
        }
        if (live.some((connection) => uses(connection, outlet))) outlet.usedMs = nowMs
        if (link.role === 'server' || nowMs - outlet.usedMs < LANE_IDLE_MS || !link.lanes.includes(outlet)) continue
        retire(outlet.carrier)
        idle(outlet.carrier)
      }
    },
    deal() {
      outlets.get(0)?.scheduler.deal()
      lanes.deal()
    },
    clear: () => outlets.clear(),
  }
}
