/**
 * The multiplexer of one agent's stream, for both of its ends: dials and connections by number, over several carriers.
 * Sans I/O: carriers bring packets and take packets, the owner brings dials, bytes and the time, and hears what happened.
 * Every table is this session's own, so no number that a peer chooses means anything outside its stream.
 * Source: docs/protocol.md sections 1 to 7 and 10.
 */
import { createBudget, removeBudget } from './budget.ts'
import type { Carrier } from './carrier.ts'
import type { Connection, Link, Outlet } from './connection.ts'
import { type ConnectionFrame, receiveFrame } from './connection-frames.ts'
import { createConnectionTable, holders, liveConnections, removeConnection, wasInUse } from './connection-table.ts'
import { createDialing } from './dialing.ts'
import { createDraining } from './draining.ts'
import { close, lose } from './ending.ts'
import { expectedPackets } from './expected.ts'
import { canUseLanes } from './extensions.ts'
import { createLiveness, look } from './liveness.ts'
import { createOutlets } from './outlets.ts'
import { createPacer } from './pacing.ts'
import type { Int64, Packet } from './packet.ts'
import { ENOUGH_MEASURES, isLong, measure, unknownLength } from './path-length.ts'
import { createPulse } from './pulse.ts'
import { receiveData } from './receiving.ts'
import { IDLE_WINDOW_MS, reclaimIdle, reclaimLargest } from './reclaim.ts'
import { pause } from './sending.ts'
import type { Session, SessionEvents, SessionOptions } from './session-owner.ts'
import { createStockBacklog } from './stock-backlog.ts'
import { createStrays } from './strays.ts'
import { createViolations } from './violations.ts'
import { MAX_LONG_PATH_WINDOW_BYTES, MAX_WINDOW_BYTES } from './window.ts'

/** Of the pings that measure how long small exchanges wait; those of heartbeats count from 1. */
const PACE_NONCE = -1
/** Frames besides data that a peer who does not read may make us keep: bytes. Far more than 10,000 dials take. */
export const MAX_EXCESS_BYTES = 16 * 1024 * 1024

export function createSession(options: SessionOptions, events: SessionEvents): Session {
  const { role, extensions, limits, budget } = options
  const expected = expectedPackets(role, extensions)
  const connections = createConnectionTable()
  const liveness = createLiveness(options.liveness, options.nowMs, extensions.has('heartbeat') ? ENOUGH_MEASURES : 0)
  const path = unknownLength()
  const link: Link = {
    role,
    flowControl: extensions.has('flow-control'),
    halfClose: extensions.has('half-close'),
    closeReason: extensions.has('close-reason'),
    budget,
    heldBytes: 0,
    pausedAtBytes: 0,
    nowMs: options.nowMs,
    maxWindowBytes: MAX_WINDOW_BYTES,
    pacer: extensions.has('ping') ? createPacer(role, (ms) => outlets.byNumber.get(0)?.carrier.alarm(ms)) : undefined,
    steers: canUseLanes(extensions),
    lanes: [],
    pauseAll() {
      for (const connection of connections.live.values()) pause(connection)
    },
    carriesMuch: () => link.steers && !over && events.carriesMuch?.(),
    forget(connection) {
      removeConnection(connections, connection)
      stock?.forget(connection)
      draining.look()
    },
    backlogChanged(connection, took) {
      if (connection.over) stock?.forget(connection)
      else stock?.changed(connection, took, link.nowMs)
      if (connection.backlog === 0) connections.lingering.delete(connection)
    },
  }
  let stock: ReturnType<typeof createStockBacklog<Connection>> | undefined
  let over = false
  let unixOffsetMs = 0
  let idleLookMs = options.nowMs + IDLE_WINDOW_MS
  const outlets = createOutlets({
    link,
    connections,
    liveness: options.liveness,
    dead: (lane) => events.laneDead?.(lane),
    idle: (lane) => events.laneIdle?.(lane),
  })
  /** Nothing once it is over: the frame before may have been the one too many. */
  const control = (packet: Packet): void => {
    if (!over) outlets.primary().carrier.control(packet)
  }
  const ordered = (packet: Packet): void => {
    if (!over) outlets.primary().carrier.ordered(packet)
  }
  const violations = createViolations({
    perMinute: limits.unknownFramesPerMinute,
    nowMs: options.nowMs,
    counted: events.violation,
    tooMany: () => events.broken('too-many-unknown-frames'),
  })
  const { violate } = violations
  const stray = createStrays({ role, halfClose: link.halfClose, answer: ordered, violate })
  const draining = createDraining({
    say(seen) {
      control({ type: 'DRAIN' })
      pulse.probe(seen, link.nowMs, unixNowMs())
    },
    busy: () => over || dialing.count() > 0 || connections.live.size > 0,
    drained: () => events.drained?.(),
  })
  const dialing = createDialing({
    limits,
    link,
    connections,
    ordered,
    violate,
    wanted: (request) => events.dial?.(request),
    overLimit: (request, text) => events.dialOverLimit?.(request, text),
    unwanted: (random) => events.dialCancelled?.(random),
    settled: draining.look,
  })
  const pulse = createPulse({
    role,
    extensions,
    health: () => options.health?.() ?? {},
    send: control,
    roundTrip,
    pingStock: events.ping,
  })
  const excess = createBudget(MAX_EXCESS_BYTES, budget.parent)
  excess.closeLargest = () => over || events.broken('peer-does-not-read')
  budget.closeLargest = () => reclaimLargest(holders(connections), link.nowMs)

  const unixNowMs = (): number => link.nowMs + unixOffsetMs

  function roundTrip(ms: number): void {
    link.pacer?.roundTrip(ms, link.nowMs)
    measure(path, ms)
    link.maxWindowBytes = isLong(path) ? MAX_LONG_PATH_WINDOW_BYTES : MAX_WINDOW_BYTES
    events.roundTrip(ms)
  }

  function ponged(nonce: number): void {
    if (nonce === PACE_NONCE) link.pacer?.answered(link.nowMs)
    else pulse.answered(nonce, link.nowMs)
  }

  function receive(carrier: Carrier, packet: Packet): void {
    const from = outlets.of(carrier)
    if (over || !from) return
    if (!expected.has(packet.type)) return violate(packet.type === 'UNKNOWN' ? 'unknown-type' : 'unexpected')
    switch (packet.type) {
      case 'DIAL_REQ':
        return dialing.asked(outlets.primary(), packet)
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
      case 'SERVERS':
        return events.servers?.(packet.servers)
      case 'POLICY':
        return events.policy?.({ version: packet.version, rules: packet.rules })
      case 'POLICY_ACK': {
        const { version, accepted, reason } = packet
        return events.policyAcknowledged?.({ version, accepted: accepted === 1, reason })
      }
      case 'LANE_OFFER':
        if (events.laneOffered?.(packet.lane, packet.token) === false) violate('unexpected')
        return
      case 'LANES_WANTED':
        return events.lanesWanted?.(packet.count)
      case 'PING':
        return from.carrier.control({ type: 'PONG', nonce: packet.nonce })
      case 'PONG':
        if (carrier.index > 0) return
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
    if (connection) receiveFrame(connection, from, frame, outlets.byNumber)
    else stray(connectId, frame.type, wasInUse(connections, connectId))
  }

  function receiveBytes(carrier: Carrier, connectId: Int64, bytes: Uint8Array, first = true): void {
    const from = outlets.of(carrier)
    if (over || !from || bytes.length === 0) return
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
    removeBudget(excess)
  }

  return {
    excess,
    path,
    addCarrier(carrier) {
      if (over) return
      outlets.add(carrier)
      if (carrier.index === 0 && !link.flowControl) {
        stock = createStockBacklog<Connection>(carrier, limits.stock, () => budget.usedBytes - link.heldBytes)
      }
    },
    askForLanes: (count) => over || control({ type: 'LANES_WANTED', count }),
    offerLane: (lane, token) => over || control({ type: 'LANE_OFFER', lane, token }),
    retire: outlets.retire,
    ended: outlets.ended,
    lost(carrier, reason) {
      if (over || !outlets.of(carrier)) return
      if (carrier.index === 0) endAll(reason)
      else outlets.lost(carrier)
    },
    heard(nowMs, lane) {
      link.nowMs = nowMs
      if (lane) outlets.heard(lane)
      else liveness.heard = true
    },
    receive,
    receiveData: receiveBytes,
    writable: (carrier) => outlets.of(carrier)?.scheduler.deal(),
    dial(request, dialEvents) {
      if (over) dialEvents.failed({ kind: 'lost', reason: 'the agent is gone' })
      else dialing.ask(outlets.primary(), request, dialEvents)
    },
    cancel: dialing.cancel,
    accept: dialing.accept,
    refuse: dialing.refuse,
    drain() {
      if (!over) draining.begin()
    },
    pingAnswered: pulse.pingAnswered,
    goAway(reason, deadlineMs, reconnectAfterMs) {
      if (over || !extensions.has('going-away')) return
      control({ type: 'GOING_AWAY', reason, deadlineMs, reconnectAfterMs })
    },
    pushPolicy(version, rules) {
      if (extensions.has('policy')) control({ type: 'POLICY', version, rules })
    },
    pushServers(servers) {
      if (!over && extensions.has('servers')) control({ type: 'SERVERS', servers })
    },
    acknowledgePolicy({ version, accepted, reason }) {
      control({ type: 'POLICY_ACK', version, accepted: accepted ? 1 : 0, reason })
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
        outlets.lookForIdle(nowMs)
      }
      outlets.tick(nowMs)
      violations.tick(nowMs)
    },
    alarm(nowMs) {
      if (over) return
      link.nowMs = nowMs
      if (link.pacer?.look(nowMs)) control({ type: 'PING', nonce: PACE_NONCE })
      if (link.pacer?.open()) outlets.deal()
    },
    connectionCount: () => connections.live.size,
    dialCount: dialing.count,
    hasDial: dialing.has,
  }
}
