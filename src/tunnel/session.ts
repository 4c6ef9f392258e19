/**
 * The multiplexer of one agent's stream, for both of its ends: dials and connections by number, over several carriers.
 * Sans I/O: carriers bring packets and take packets, the owner brings dials, bytes and the time, and hears what happened.
 * Every table is this session's own, so no number that a peer chooses means anything outside its stream.
 * Source: docs/protocol.md sections 1 to 7 and 10.
 */
import { removeBudget } from './budget.ts'
import { givesWay } from './bulk.ts'
import type { Carrier } from './carrier.ts'
import { type Connection, type ConnectionEvents, type Link, type Outlet, uses } from './connection.ts'
import { type ConnectionFrame, receiveFrame } from './connection-frames.ts'
import { createConnectionTable, holders, liveConnections, removeConnection, wasInUse } from './connection-table.ts'
import { createDialing } from './dialing.ts'
import type { DialEvents, DialRequest } from './dials.ts'
import { close, lose, tellReset } from './ending.ts'
import { expectedPackets } from './expected.ts'
import { createLiveness, look } from './liveness.ts'
import { createPacer } from './pacing.ts'
import type { Int64, Packet } from './packet.ts'
import { createPulse } from './pulse.ts'
import { receiveData } from './receiving.ts'
import { IDLE_WINDOW_MS, reclaimIdle, reclaimLargest } from './reclaim.ts'
import { createScheduler } from './scheduler.ts'
import { move as moveOver, permit, pump } from './sending.ts'
import type { SessionEvents, SessionOptions } from './session-owner.ts'
import { createStockBacklog } from './stock-backlog.ts'
import { createStrays } from './strays.ts'
import { createViolations } from './violations.ts'
import { LONG_PATH_MS, MAX_LONG_PATH_WINDOW_BYTES, MAX_WINDOW_BYTES } from './window.ts'

/** Of the pings that measure how long small exchanges wait; those of heartbeats count from 1. */
const PACE_NONCE = -1

export type Session = {
  readonly addCarrier: (carrier: Carrier) => void
  /** The carrier is gone. Without the first one, the session is over. */
  readonly lost: (carrier: Carrier, reason: string) => void
  /** Bytes came; called before the packets in them. */
  readonly heard: (nowMs: number) => void
  readonly receive: (carrier: Carrier, packet: Packet) => void
  /** @param first whether these are the first bytes of their packet, which may come in pieces; else a later piece */
  readonly receiveData: (carrier: Carrier, connectId: Int64, bytes: Uint8Array, first?: boolean) => void
  /** The carrier has room again, as `wake` asked. */
  readonly writable: (carrier: Carrier) => void
  /** Server: asks the agent for a connection. `random` must be new. */
  readonly dial: (request: DialRequest, events: DialEvents, over?: Carrier) => void
  /** Server: nobody waits for this dial any more. */
  readonly cancel: (random: Int64) => void
  /** Agent: the dial succeeded. `undefined` when it is no longer wanted: close the socket. */
  readonly accept: (random: Int64, events: ConnectionEvents) => Connection | undefined
  readonly refuse: (random: Int64, text: string) => void
  readonly move: (connection: Connection, to: Carrier) => boolean
  /** Agent: asks for no new connections; `drained` follows. */
  readonly drain: () => void
  /** A stock peer has answered the ping of this number: it has read what was sent before. */
  readonly pingAnswered: (number: number) => void
  /** Server: tells the agent to connect elsewhere. */
  readonly goAway: (reason: string, deadlineMs: number, reconnectAfterMs: number) => void
  /** Called every half second or so. */
  readonly tick: (nowMs: number, unixMs: number) => void
  /** The time that a carrier was asked to wait for has passed. */
  readonly alarm: (nowMs: number) => void
  readonly connectionCount: () => number
  readonly dialCount: () => number
  /** Whether a dial has this number that is pending, or was cancelled and may still be answered. */
  readonly hasDial: (random: Int64) => boolean
}

export function createSession(options: SessionOptions, events: SessionEvents): Session {
  const { role, extensions, limits, budget } = options
  const expected = expectedPackets(role, extensions)
  const outlets = new Map<number, Outlet>()
  const connections = createConnectionTable()
  const liveness = createLiveness(options.liveness, options.nowMs)
  const link: Link = {
    role,
    flowControl: extensions.has('flow-control'),
    halfClose: extensions.has('half-close'),
    closeReason: extensions.has('close-reason'),
    budget,
    heldBytes: 0,
    nowMs: options.nowMs,
    maxWindowBytes: MAX_WINDOW_BYTES,
    pacer: extensions.has('ping') ? createPacer((ms) => outlets.get(0)?.carrier.alarm(ms)) : undefined,
    forget(connection) {
      removeConnection(connections, connection)
      stock?.forget(connection)
      checkDrained()
    },
    backlogChanged(connection, took) {
      if (connection.over) stock?.forget(connection)
      else stock?.changed(connection, took, link.nowMs)
      if (connection.backlog === 0) connections.lingering.delete(connection)
    },
  }
  let stock: ReturnType<typeof createStockBacklog<Connection>> | undefined
  let over = false
  let draining: 'no' | 'asked' | 'seen' | 'done' = 'no'
  let unixOffsetMs = 0
  let idleLookMs = options.nowMs + IDLE_WINDOW_MS
  const control = (packet: Packet): void => primary().carrier.control(packet)
  const ordered = (packet: Packet): void => primary().carrier.ordered(packet)
  const violations = createViolations({
    perMinute: limits.unknownFramesPerMinute,
    nowMs: options.nowMs,
    counted: events.violation,
    tooMany: () => events.broken('too-many-unknown-frames'),
  })
  const { violate } = violations
  const stray = createStrays({ role, halfClose: link.halfClose, answer: ordered, violate })
  const dialing = createDialing({
    limits,
    link,
    connections,
    ordered,
    violate,
    wanted: (request) => events.dial?.(request),
    unwanted: (random) => events.dialCancelled?.(random),
    settled: checkDrained,
  })
  const pulse = createPulse({
    role,
    extensions,
    health: () => options.health?.() ?? {},
    send: control,
    roundTrip,
    pingStock: events.ping,
  })
  budget.closeLargest = () => reclaimLargest(holders(connections), link.nowMs)

  function primary(): Outlet {
    return outlets.get(0)!
  }

  function checkDrained(): void {
    if (draining !== 'seen' || over || dialing.count() > 0 || connections.live.size > 0) return
    draining = 'done'
    events.drained?.()
  }

  function drainSeen(): void {
    if (draining !== 'asked') return
    draining = 'seen'
    checkDrained()
  }

  const unixNowMs = (): number => link.nowMs + unixOffsetMs

  function roundTrip(ms: number): void {
    link.pacer?.roundTrip(ms)
    link.maxWindowBytes = ms > LONG_PATH_MS ? MAX_LONG_PATH_WINDOW_BYTES : MAX_WINDOW_BYTES
    events.roundTrip(ms)
  }

  function ponged(nonce: number): void {
    if (nonce === PACE_NONCE) link.pacer?.answered(link.nowMs)
    else pulse.answered(nonce, link.nowMs)
  }

  function receive(carrier: Carrier, packet: Packet): void {
    const from = outlets.get(carrier.index)
    if (over || from?.carrier !== carrier) return
    if (!expected.has(packet.type)) return violate(packet.type === 'UNKNOWN' ? 'unknown-type' : 'unexpected')
    switch (packet.type) {
      case 'DIAL_REQ':
        return dialing.asked(from, packet)
      case 'DIAL_RSP':
        return dialing.answered(packet)
      case 'DIAL_CLS':
        return dialing.givenUp(packet.random)
      case 'DATA':
        return receiveBytes(carrier, packet.connectId, packet.data)
      case 'CLOSE_REQ':
      case 'CLOSE_RSP':
      case 'END_OF_DATA':
      case 'WINDOW_UPDATE':
      case 'BLOCKED':
      case 'MOVE':
        return receiveFor(from, packet)
      case 'DRAIN':
        return events.draining?.()
      case 'HEARTBEAT':
        pulse.answer(packet, link.nowMs, unixNowMs())
        return events.beat?.(packet)
      case 'HEARTBEAT_ACK':
        return pulse.answered(packet.seq, link.nowMs)
      case 'GOING_AWAY':
        return events.goingAway?.(packet)
      case 'PING':
        return control({ type: 'PONG', nonce: packet.nonce })
      case 'PONG':
        return ponged(Number(packet.nonce))
      case 'UNKNOWN':
        return
      default:
        packet satisfies never
    }
  }

  function receiveFor(from: Outlet, frame: ConnectionFrame): void {
    const { connectId } = frame
    const connection = connections.live.get(connectId)
    if (connection) receiveFrame(connection, from, frame, outlets)
    else stray(connectId, frame.type, wasInUse(connections, connectId))
  }

  function receiveBytes(carrier: Carrier, connectId: Int64, bytes: Uint8Array, first = true): void {
    const from = outlets.get(carrier.index)
    if (over || from?.carrier !== carrier || bytes.length === 0) return
    const connection = connections.live.get(connectId)
    if (connection) receiveData(connection, from, bytes)
    else if (first) stray(connectId, 'DATA', wasInUse(connections, connectId))
  }

  function endAll(reason: string): void {
    over = true
    dialing.end(reason)
    for (const connection of liveConnections(connections)) lose(connection, reason)
    outlets.clear()
    removeBudget(budget)
  }

  function lostLane(outlet: Outlet, reason: string): void {
    outlets.delete(outlet.carrier.index)
    dialing.lose(reason, outlet)
    for (const connection of liveConnections(connections)) {
      if (!uses(connection, outlet)) continue
      tellReset(connection, 'carrier-lost', connection.home === outlet ? primary() : connection.home)
      lose(connection, 'carrier-lost')
    }
  }

  return {
    addCarrier(carrier) {
      outlets.set(carrier.index, { carrier, scheduler: createScheduler<Connection>(carrier, pump, permit, givesWay) })
      if (carrier.index === 0 && !link.flowControl) {
        stock = createStockBacklog<Connection>(carrier, limits.stock, () => budget.usedBytes - link.heldBytes)
      }
    },
    lost(carrier, reason) {
      const outlet = outlets.get(carrier.index)
      if (over || outlet?.carrier !== carrier) return
      if (carrier.index === 0) endAll(reason)
      else lostLane(outlet, reason)
    },
    heard(nowMs) {
      liveness.heard = true
      link.nowMs = nowMs
    },
    receive,
    receiveData: receiveBytes,
    writable: (carrier) => outlets.get(carrier.index)?.scheduler.deal(),
    dial(request, dialEvents, carrier) {
      const outlet = carrier ? outlets.get(carrier.index) : outlets.get(0)
      if (over || !outlet) dialEvents.failed({ kind: 'lost', reason: 'the agent is gone' })
      else dialing.ask(outlet, request, dialEvents)
    },
    cancel: dialing.cancel,
    accept: dialing.accept,
    refuse: dialing.refuse,
    move(connection, to) {
      const outlet = outlets.get(to.index)
      return outlet !== undefined && moveOver(connection, outlet)
    },
    drain() {
      if (draining !== 'no' || over) return
      draining = 'asked'
      control({ type: 'DRAIN' })
      pulse.probe(drainSeen, link.nowMs, unixNowMs())
    },
    pingAnswered: pulse.pingAnswered,
    goAway(reason, deadlineMs, reconnectAfterMs) {
      if (over || !extensions.has('going-away')) return
      control({ type: 'GOING_AWAY', reason, deadlineMs, reconnectAfterMs })
    },
    tick(nowMs, unixMs) {
      if (over) return
      link.nowMs = nowMs
      unixOffsetMs = unixMs - nowMs
      const due = look(liveness, nowMs)
      if (due === 'dead') return events.broken('heartbeat-timeout')
      if (due === 'beat') pulse.beat(nowMs, unixMs)
      for (const connection of stock?.slow(nowMs) ?? []) close(connection, 'slow-consumer')
      if (nowMs >= idleLookMs) {
        idleLookMs = nowMs + IDLE_WINDOW_MS
        reclaimIdle(liveConnections(connections), nowMs)
      }
      violations.tick(nowMs)
    },
    alarm(nowMs) {
      if (over) return
      link.nowMs = nowMs
      if (link.pacer?.look(nowMs)) control({ type: 'PING', nonce: PACE_NONCE })
      if (link.pacer?.open()) for (const { scheduler } of outlets.values()) scheduler.deal()
    },
    connectionCount: () => connections.live.size,
    dialCount: dialing.count,
    hasDial: dialing.has,
  }
}
