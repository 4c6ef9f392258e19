/**
 * The multiplexer of one agent's stream, for both of its ends: dials and connections by number, over several carriers.
 * Sans I/O: carriers bring packets and take packets, the owner brings dials, bytes and the time, and hears what happened.
 * Every table is this session's own, so no number that a peer chooses means anything outside its stream.
 * Source: docs/protocol.md sections 1 to 7 and 10.
 */
import { type Budget, release, removeBudget } from './budget.ts'
import type { Carrier } from './carrier.ts'
import { receiveClose } from './close-handshake.ts'
import { type Connection, type ConnectionEvents, createConnection, type Link, type Outlet, uses } from './connection.ts'
import { createDials, type DialEvents, type DialRequest } from './dials.ts'
import { close, lose, tellReset } from './ending.ts'
import { expectedPackets } from './expected.ts'
import type { Extensions } from './extensions.ts'
import { createLiveness, type LivenessTimes, look } from './liveness.ts'
import type { Health, Int64, Packet } from './packet.ts'
import { type Beat, createPulse } from './pulse.ts'
import { receiveBlocked, receiveData, receiveEnd, receiveMove } from './receiving.ts'
import { createScheduler } from './scheduler.ts'
import { move as moveOver, permit, pump, receiveCredit } from './sending.ts'
import { createStockBacklog, type StockLimits } from './stock-backlog.ts'
import { INITIAL_WINDOW_BYTES, LONG_PATH_MS, MAX_LONG_PATH_WINDOW_BYTES, MAX_WINDOW_BYTES, shrink } from './window.ts'

/** A connection without traffic for this long gives back what its window had grown: milliseconds. */
const IDLE_WINDOW_MS = 10_000
const MINUTE_MS = 60_000
/** Connections of a stock agent that are remembered for having been refused. */
const MAX_REFUSED = 1_024
/** When too much waits in all, sockets that took nothing for this long go first: milliseconds. */
const STALLED_MS = 1_000
/** What an owner that has left still wanted to send is given up when the peer takes nothing of it for this long: milliseconds. */
const LEFT_MS = 60_000
/** A stock agent that does not answer CLOSE_REQ, and sends nothing, for this long is taken to have closed: milliseconds. */
const CLOSE_ANSWER_MS = 30_000

export type SessionLimits = {
  readonly pendingDials: number
  readonly connections: number
  /** Frames that mean nothing here, per minute; more end the stream. */
  readonly unknownFramesPerMinute: number
  readonly stock: StockLimits
}

export type SessionOptions = {
  readonly role: 'server' | 'agent'
  readonly extensions: Extensions
  readonly limits: SessionLimits
  readonly liveness: LivenessTimes
  /** This stream's own budget; the session removes it when it ends. */
  readonly budget: Budget
  readonly nowMs: number
  /** What the agent says of itself in each heartbeat. */
  readonly health?: () => Health
}

/** A frame that broke the rules; each is counted, and dropped. */
export type Violation = 'unknown-type' | 'unknown-connection' | 'unknown-dial' | 'unexpected' | 'duplicate-dial'

export type SessionEvents = {
  /** The stream cannot go on; its owner ends it and then calls `lost`. */
  readonly broken: (reason: 'heartbeat-timeout' | 'too-many-unknown-frames') => void
  readonly violation: (violation: Violation) => void
  /** A stock peer knows no heartbeat: the owner pings it in its own way, after what was sent before, and says `heard`. */
  readonly ping: (number: number) => void
  readonly roundTrip: (ms: number) => void
  /** Server: what the agent says of itself. */
  readonly beat?: (beat: Beat) => void
  /** Server: the agent wants no new connections while another one has room. */
  readonly draining?: () => void
  /** Agent: dial; answer with `accept` or `refuse`. */
  readonly dial?: (request: DialRequest) => void
  /** Agent: the answer to this dial is no longer wanted. */
  readonly dialCancelled?: (random: Int64) => void
  /** Agent: the server will end this stream; connect elsewhere first. */
  readonly goingAway?: (notice: { reason: string; deadlineMs: number; reconnectAfterMs: number }) => void
  /** Agent: after `drain`, nothing is left and nothing can still come. */
  readonly drained?: () => void
}

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
  readonly connectionCount: () => number
  readonly dialCount: () => number
  /** Whether a dial has this number that is pending, or was cancelled and may still be answered. */
  readonly hasDial: (random: Int64) => boolean
}

export function createSession(options: SessionOptions, events: SessionEvents): Session {
  const { role, extensions, limits, budget } = options
  const expected = expectedPackets(role, extensions)
  const outlets = new Map<number, Outlet>()
  const connections = new Map<Int64, Connection>()
  const refused = new Set<Int64>() // DATA came for them that nobody takes, and the agent was told
  const lingering = new Set<Connection>() // finished, but a socket has not taken all
  const dials = createDials(limits.pendingDials)
  const liveness = createLiveness(options.liveness, options.nowMs)
  const link: Link = {
    role,
    flowControl: extensions.has('flow-control'),
    halfClose: extensions.has('half-close'),
    closeReason: extensions.has('close-reason'),
    budget,
    nowMs: options.nowMs,
    maxWindowBytes: MAX_WINDOW_BYTES,
    forget: forgetConnection,
    backlogChanged(connection, took) {
      if (connection.over) stock?.forget(connection)
      else stock?.changed(connection, took, link.nowMs)
      if (connection.backlog === 0) lingering.delete(connection)
    },
  }
  let stock: ReturnType<typeof createStockBacklog<Connection>> | undefined
  let highest: Int64 = 0 // connectIDs up to here have been seen
  let over = false
  let draining: 'no' | 'asked' | 'seen' | 'done' = 'no'
  let unixOffsetMs = 0
  let minuteEndsMs = options.nowMs + MINUTE_MS
  let unknownThisMinute = 0
  let idleLookMs = options.nowMs + IDLE_WINDOW_MS
  const pulse = createPulse({
    role,
    extensions,
    health: () => options.health?.() ?? {},
    send: (packet) => primary().carrier.control(packet),
    roundTrip,
    pingStock: events.ping,
  })
  budget.closeLargest = closeLargest

  function primary(): Outlet {
    return outlets.get(0)!
  }

  function forgetConnection(connection: Connection): void {
    connections.delete(connection.id)
    stock?.forget(connection)
    if (connection.backlog > 0) lingering.add(connection)
    checkDrained()
  }

  function closeLargest(): void {
    const holders = [...connections.values(), ...lingering].filter(({ backlog }) => backlog > 0)
    const stalled = holders.filter(({ tookMs }) => link.nowMs - tookMs >= STALLED_MS)
    const [first, ...others] = stalled.length > 0 ? stalled : holders
    if (!first) return
    const most = others.reduce((largest, next) => (next.backlog > largest.backlog ? next : largest), first)
    if (most.over) most.events.giveUp()
    close(most, 'over-budget')
  }

  /** @param excused counted, but not against the peer */
  function violate(violation: Violation, excused = false): void {
    events.violation(violation)
    if (excused) return
    unknownThisMinute++
    if (unknownThisMinute === limits.unknownFramesPerMinute + 1) events.broken('too-many-unknown-frames')
  }

  /** A frame for a connection that is not in the table: it crossed the end of one, or makes no sense. */
  function strayFrame(connectId: Int64, type: 'DATA' | 'CLOSE_REQ' | 'other'): void {
    if (connectId === 0 && type === 'DATA') return // as the reference: dropped
    const crossed = connectId > 0 && connectId <= highest
    if (crossed && link.halfClose) return
    if (!crossed) violate('unknown-connection')
    const { carrier } = primary()
    if (type === 'DATA' && role === 'server') refuseOnce(connectId)
    else if (type === 'DATA') carrier.ordered({ type: 'CLOSE_RSP', connectId, error: 'unrecognized connectID' })
    else if (type === 'CLOSE_REQ' && role === 'agent') {
      carrier.ordered({ type: 'CLOSE_RSP', connectId, error: 'Unknown connectID' })
    }
  }

  /** Server: an agent that has not heard of the end yet may send much: one CLOSE_REQ tells it, and more would help nobody. */
  function refuseOnce(connectId: Int64): void {
    if (refused.has(connectId)) return
    refused.add(connectId)
    if (refused.size > MAX_REFUSED) for (const oldest of refused) if (refused.delete(oldest)) break
    primary().carrier.ordered({ type: 'CLOSE_REQ', connectId, reason: '' })
  }

  function open(id: Int64, outlet: Outlet, connectionEvents: ConnectionEvents): Connection {
    const connection = createConnection(id, link, outlet, connectionEvents)
    connections.set(id, connection)
    if (id > highest) highest = id
    return connection
  }

  /** Server: the agent's answer to a dial. */
  function dialAnswered({ error, connectId, random }: Extract<Packet, { type: 'DIAL_RSP' }>): void {
    const dial = dials.take(random)
    const taken = connections.has(connectId)
    if (!dial?.events) {
      violate('unknown-dial', dials.answeredLate(random))
      if (connectId === 0 || error !== '' || taken) return
      if (connectId > highest) highest = connectId
      primary().carrier.ordered({ type: 'CLOSE_REQ', connectId, reason: link.closeReason ? 'dial-cancelled' : '' })
      return
    }
    if (error !== '') return dial.events.failed({ kind: 'refused', text: error })
    if (connectId <= 0 || taken) {
      violate('unexpected')
      return dial.events.failed({ kind: 'refused', text: 'the agent answered with a connection id that it cannot use' })
    }
    const connection = open(connectId, dial.outlet, nobody)
    connection.events = dial.events.connected(connection)
  }

  /** Agent: the server wants a connection. */
  function dialRequested(outlet: Outlet, request: DialRequest): void {
    const { random } = request
    if (dials.has(random)) return violate('duplicate-dial')
    dials.add(random, { outlet, lost: () => events.dialCancelled?.(random) })
    if (dials.size() > limits.pendingDials) return refuse(random, tooMany('pending dials', limits.pendingDials))
    if (connections.size >= limits.connections) return refuse(random, tooMany('connections', limits.connections))
    events.dial?.(request)
  }

  function refuse(random: Int64, text: string): void {
    const dial = dials.take(random)
    if (!dial) return
    dial.outlet.carrier.control({ type: 'DIAL_RSP', error: text, connectId: 0, random })
    checkDrained()
  }

  function checkDrained(): void {
    if (draining !== 'seen' || over || dials.size() > 0 || connections.size > 0) return
    draining = 'done'
    events.drained?.()
  }

  const unixNowMs = (): number => link.nowMs + unixOffsetMs

  function roundTrip(ms: number): void {
    link.maxWindowBytes = ms > LONG_PATH_MS ? MAX_LONG_PATH_WINDOW_BYTES : MAX_WINDOW_BYTES
    events.roundTrip(ms)
  }

  function receiveFor(connectId: Int64, type: 'CLOSE_REQ' | 'other', act: (connection: Connection) => void): void {
    const connection = connections.get(connectId)
    if (connection) act(connection)
    else strayFrame(connectId, type)
  }

  function receive(carrier: Carrier, packet: Packet): void {
    const from = outlets.get(carrier.index)
    if (over || from?.carrier !== carrier) return
    if (!expected.has(packet.type)) return violate(packet.type === 'UNKNOWN' ? 'unknown-type' : 'unexpected')
    switch (packet.type) {
      case 'DIAL_REQ':
        return dialRequested(from, packet)
      case 'DIAL_RSP':
        return dialAnswered(packet)
      case 'DIAL_CLS':
        dials.take(packet.random)?.lost('the agent gave up the dial')
        return checkDrained()
      case 'DATA':
        return receiveBytes(carrier, packet.connectId, packet.data)
      case 'CLOSE_REQ':
        return receiveFor(packet.connectId, packet.type, (it) => receiveClose(it, packet.type, packet.reason))
      case 'CLOSE_RSP':
        return receiveFor(packet.connectId, 'other', (it) => receiveClose(it, packet.type, packet.error))
      case 'END_OF_DATA':
        return receiveFor(packet.connectId, 'other', (it) => receiveEnd(it, from, packet.close !== 0))
      case 'WINDOW_UPDATE':
        return receiveFor(packet.connectId, 'other', (it) => receiveCredit(it, packet.credit))
      case 'BLOCKED':
        return receiveFor(packet.connectId, 'other', receiveBlocked)
      case 'MOVE':
        return receiveFor(packet.connectId, 'other', (it) => moved(it, from, outlets.get(packet.carrier)))
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
        return primary().carrier.control({ type: 'PONG', nonce: packet.nonce })
      case 'PONG':
        return pulse.answered(Number(packet.nonce), link.nowMs)
      case 'UNKNOWN':
        return
      default:
        packet satisfies never
    }
  }

  function moved(connection: Connection, from: Outlet, to: Outlet | undefined): void {
    if (to) receiveMove(connection, from, to)
    else close(connection, 'carrier-lost')
  }

  function receiveBytes(carrier: Carrier, connectId: Int64, bytes: Uint8Array, first = true): void {
    const from = outlets.get(carrier.index)
    if (over || from?.carrier !== carrier || bytes.length === 0) return
    const connection = connections.get(connectId)
    if (connection) receiveData(connection, from, bytes)
    else if (first) strayFrame(connectId, 'DATA')
  }

  function endAll(reason: string): void {
    over = true
    dials.lose(reason)
    for (const connection of [...connections.values()]) lose(connection, reason)
    outlets.clear()
    removeBudget(budget)
  }

  function lostLane(outlet: Outlet, reason: string): void {
    outlets.delete(outlet.carrier.index)
    dials.lose(reason, outlet)
    for (const connection of [...connections.values()]) {
      if (!uses(connection, outlet)) continue
      tellReset(connection, 'carrier-lost', connection.home === outlet ? primary() : connection.home)
      lose(connection, 'carrier-lost')
    }
  }

  function drainSeen(): void {
    if (draining !== 'asked') return
    draining = 'seen'
    checkDrained()
  }

  /** Gives back grown windows of idle connections, and gives up on peers that do not let a connection end. */
  function lookAtIdle(): void {
    for (const connection of [...connections.values()]) {
      const idleMs = link.nowMs - connection.activeMs
      if (connection.window.size > INITIAL_WINDOW_BYTES && idleMs >= IDLE_WINDOW_MS)
        release(budget, shrink(connection.window))
      if (connection.closing === 'waits-for-peer' && idleMs >= CLOSE_ANSWER_MS) lose(connection, 'close-unanswered')
      if (connection.closing === 'after-sending' && idleMs >= LEFT_MS) close(connection, 'peer-takes-nothing')
    }
  }

  return {
    addCarrier(carrier) {
      outlets.set(carrier.index, { carrier, scheduler: createScheduler<Connection>(carrier, pump, permit) })
      if (carrier.index === 0 && !link.flowControl) {
        stock = createStockBacklog<Connection>(carrier, limits.stock, () => budget.usedBytes)
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
      if (over || !outlet) return dialEvents.failed({ kind: 'lost', reason: 'the agent is gone' })
      for (const [count, limit] of [
        [dials.size(), limits.pendingDials],
        [connections.size, limits.connections],
      ] as const) {
        if (count >= limit) return dialEvents.failed({ kind: 'too-many', limit })
      }
      dials.add(request.random, {
        outlet,
        events: dialEvents,
        lost: (reason) => dialEvents.failed({ kind: 'lost', reason }),
      })
      outlet.carrier.control({ type: 'DIAL_REQ', ...request })
    },
    cancel(random) {
      const dial = dials.cancel(random)
      if (!dial) return
      dial.outlet.carrier.control({ type: 'DIAL_CLS', random })
    },
    accept(random, connectionEvents) {
      const dial = dials.take(random)
      if (!dial || over) return undefined
      const connection = open(Number(highest) + 1, dial.outlet, connectionEvents)
      dial.outlet.carrier.control({ type: 'DIAL_RSP', error: '', connectId: connection.id, random })
      return connection
    },
    refuse,
    move(connection, to) {
      const outlet = outlets.get(to.index)
      return outlet !== undefined && moveOver(connection, outlet)
    },
    drain() {
      if (draining !== 'no' || over) return
      draining = 'asked'
      primary().carrier.control({ type: 'DRAIN' })
      pulse.probe(drainSeen, link.nowMs, unixNowMs())
    },
    pingAnswered: pulse.pingAnswered,
    goAway(reason, deadlineMs, reconnectAfterMs) {
      if (over || !extensions.has('going-away')) return
      primary().carrier.control({ type: 'GOING_AWAY', reason, deadlineMs, reconnectAfterMs })
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
        lookAtIdle()
      }
      if (nowMs >= minuteEndsMs) {
        minuteEndsMs = nowMs + MINUTE_MS
        unknownThisMinute = 0
      }
    },
    connectionCount: () => connections.size,
    dialCount: dials.size,
    hasDial: dials.has,
  }
}

const tooMany = (what: string, limit: number): string =>
  `the agent is at its limit of ${limit} ${what} (too many open files)`

/** Stands in while the owner of a new connection is being asked what it wants to hear. */
const nobody: ConnectionEvents = { data: () => {}, end: () => {}, resume: () => {}, over: () => {}, giveUp: () => {} }
