/**
 * What goes over a link once its server has answered: the session, what the server asks and tells in it, and its lanes.
 * Source: docs/protocol.md sections 2, 6 and 7.
 */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import type { LookupFunction } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Audit } from '../audit/record.ts'
import { createRepeatedAudit } from '../audit/repeated.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createBudget } from '../tunnel/budget.ts'
import type { Extensions } from '../tunnel/extensions.ts'
import { carryOverGrpc, type GrpcStream } from '../tunnel/grpc-stream.ts'
import { createWindowOpener } from '../tunnel/http2-windows.ts'
import { LANE_ALPN } from '../tunnel/lane.ts'
import { createSession } from '../tunnel/session.ts'
import type { Session } from '../tunnel/session-owner.ts'
import { laneCount } from './core/lane-count.ts'
import { createTargetDialer } from './endpoints.ts'
import { createGate } from './gate.ts'
import { createLanes, type Lanes } from './lanes.ts'
import type { Link, LinkDeps, LinkEvents, LinkOptions } from './link-owner.ts'
import type { Quiet } from './quiet.ts'
import { createServerLists } from './server-lists.ts'
import { connectToServer } from './server-socket.ts'

/** A stock server hangs up on clients that ping more often than every 30 s. */
const STOCK_PING_MS = 31_000
const WHY_BROKEN: Readonly<Record<string, string>> = {
  'heartbeat-timeout': 'nothing heard from the server for too long',
  'peer-does-not-read': 'the server does not read what it has to be told',
}

/** A server that has answered, and the wires to it. */
export type Answered = {
  readonly link: Link
  readonly http: ClientHttp2Session
  readonly stream: ClientHttp2Stream
  readonly socket: TLSSocket
  readonly lookup: LookupFunction
  readonly serverId: string
  /** Host and port of the server, as the audit log has them. */
  readonly destination: string
  readonly extensions: Extensions
  readonly quiet: Quiet
  readonly audit: Audit | undefined
  readonly log: Log
  /** Ends the link. */
  readonly end: (why: string) => void
  /** What the server sends makes no sense. */
  readonly unreadable: (error: unknown) => void
}

export type LinkSession = {
  readonly session: Session
  readonly carrier: GrpcStream
  readonly lanes: Lanes
}

export function serveLink(answered: Answered, options: LinkOptions, deps: LinkDeps, events: LinkEvents): LinkSession {
  const { link, http, stream, socket, lookup, serverId, destination, extensions, quiet, audit, log, end } = answered
  const { clock, metrics } = deps
  const auditOften = audit && createRepeatedAudit(audit, clock)
  const heartbeats = extensions.has('heartbeat')
  const gate = createGate({
    hubRanges: options.hubRanges,
    server: { address: socket.remoteAddress, port: socket.remotePort },
    own: deps.policy,
    judged: metrics.targetJudged,
    now: clock.now,
  })
  const dialer = createTargetDialer(options.dialTimeoutMs, {
    ...deps,
    audit,
    judgeDial: gate.judgeDial,
    now: clock.now,
    serverId,
  })
  const readList = createServerLists({ log, metrics, now: clock.now })
  const violated = (event: 'violation' | 'server', reason: string): void =>
    auditOften?.({ event, server: serverId, destination, verdict: 'refused', reason })
  let roundTripMs: number | undefined
  const openWindows = createWindowOpener(http)
  const session: Session = createSession(
    {
      role: 'agent',
      extensions,
      limits: options.limits,
      liveness: heartbeats
        ? { intervalMs: options.heartbeatIntervalMs, timeoutMs: options.heartbeatTimeoutMs }
        : { intervalMs: STOCK_PING_MS, timeoutMs: STOCK_PING_MS + options.heartbeatTimeoutMs },
      budget: createBudget(options.streamBufferBytes, deps.processBudget),
      nowMs: clock.now(),
      health: () => deps.health({ roundTripMs }),
    },
    {
      broken: (why) => end(WHY_BROKEN[why] ?? why),
      violation(kind) {
        metrics.violation(kind)
        violated('violation', kind)
      },
      ping: (number) => carrier.whenSent(() => pingStock(http, session, number, clock)),
      roundTrip(ms) {
        roundTripMs = ms
        if (extensions.has('flow-control')) openWindows(session.path)
        metrics.roundTrip(ms)
      },
      carriesMuch: () => lanes.wanted(),
      laneOffered: (lane, token) => lanes.offered(lane, token),
      laneIdle: (lane) => lanes.idle(lane),
      laneDead: (lane) => lanes.dead(lane),
      dial(request) {
        quiet.asked()
        dialer.dial(session, request)
      },
      dialOverLimit: dialer.overLimit,
      dialCancelled: dialer.cancel,
      policy(pushed) {
        const answer = gate.push(pushed)
        if (answer === 'too-often') return end('the server pushes policies too often')
        session.acknowledgePolicy(answer)
        if (answer.accepted) log.info({ version: answer.version }, 'policy of the server is in force')
        else log.error(answer, 'policy of the server cannot be read, nothing is dialled for it')
      },
      servers(told) {
        const read = readList(told)
        if (read === 'too-often') end('the server lists replicas too often')
        else if (read) events.listed(link, read)
      },
      goingAway({ reason: why, reconnectAfterMs }) {
        log.info({ reason: why }, 'server goes away')
        events.leaving(link, reconnectAfterMs)
      },
      drained: () => quiet.when(() => events.drained(link)),
    },
  )
  const lanes = createLanes({
    ...deps,
    log,
    session,
    count: () => laneCount(options.lanes, session.path),
    misused: (why) => violated(why === 'broken' ? 'violation' : 'server', `lane: ${why}`),
    connect() {
      const lane: TLSSocket = connectToServer({
        ...options,
        material: options.material(),
        alpn: [...options.alpn, LANE_ALPN], // whoever routes by the others routes lanes alike
        lookup,
        address: socket.remoteAddress ?? options.host,
        halfOpen: true,
        standing: deps.standing,
        lost: (why) => lane.destroy(new Error(why)), // the stream is looked at by itself
      })
      return lane
    },
  })
  const carrier = carryOverGrpc({
    stream,
    session,
    maxMessageBytes: options.maxMessageBytes,
    count: metrics.packets,
    now: clock.now,
    failed: answered.unreadable,
  })
  return { session, carrier, lanes }
}

/** A stock server knows no heartbeat; its answer to a PING says that it is there, and that what came before has arrived. */
function pingStock(http: ClientHttp2Session, session: Session, number: number, clock: Clock): void {
  if (http.destroyed) return
  http.ping((error) => {
    if (error) return
    session.heard(clock.now())
    session.pingAnswered(number)
  })
}
