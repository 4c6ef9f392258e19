/**
 * One agent's gRPC stream on the server: who it is, its session, its heartbeats, its end.
 * Source: docs/protocol.md sections 1, 2, 6 and 11; gRPC over HTTP/2 for headers and trailers.
 */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { AuditRecord } from '../audit/record.ts'
import { createBudget } from '../tunnel/budget.ts'
import {
  canUseLanes,
  EXTENSIONS_KEY,
  type Extension,
  offered,
  readExtensions,
  without,
  writeExtensions,
} from '../tunnel/extensions.ts'
import { carryOverGrpc } from '../tunnel/grpc-stream.ts'
import { createWindowOpener } from '../tunnel/http2-windows.ts'
import { createSession } from '../tunnel/session.ts'
import { createAgentLanes } from './agent-lanes.ts'
import type { AgentStream, AgentStreamDeps, AgentStreamEvents, NewAgent } from './agent-stream-owner.ts'
import { newRecord, recordBeat } from './core/agent-record.ts'
import { brokenSession, type GrpcStatus, grpcStatus, unreadable } from './core/grpc-status.ts'
import { hostsOf } from './core/identifiers.ts'
import { isNoHttp2 } from './http2-errors.ts'
import type { CutOffCause, StreamEnd } from './metrics.ts'
import { createPolicyPush } from './policy-push.ts'
import { plainAddress } from './source.ts'
import { stockClose } from './stock-close.ts'

/** How often a session looks at its clock: milliseconds. Silence is noticed that much late. */
const TICK_MS = 500
/** A stock agent that exchanges nothing is pinged this often: milliseconds. Its client does not police it. */
const STOCK_PING_MS = 5_000
/** How long a stream that was ended may take to bring its status out: milliseconds. */
const END_GRACE_MS = 1_000

type ConnectionEvents = {
  /** A further connection of the agent's. */
  readonly laneJoined: (lane: TLSSocket) => void
  /** Why its connection was cut off, if it was. */
  readonly cutOff: () => CutOffCause | undefined
}

/** Takes the stream over. */
export function serveAgentStream(
  http: ServerHttp2Session,
  stream: ServerHttp2Stream,
  agent: NewAgent,
  deps: AgentStreamDeps,
  events: AgentStreamEvents & ConnectionEvents,
): AgentStream {
  const { options, clock, metrics } = deps
  const unable: Extension[] = [
    ...(options.maxLanes > 0 ? [] : ['lanes' as const]),
    ...(deps.replicas ? [] : ['servers' as const]),
    ...(agent.takesTokens ? [] : ['new-token' as const]),
  ]
  const extensions = readExtensions(agent.extensions, without(offered, ...unable))
  const log = deps.log.child({ agent: agent.agentId, cluster: agent.cluster, remote: agent.remoteAddress })
  const record = newRecord(agent, extensions, clock.unixMs(), clock.now())
  let trailers: Record<string, string> = grpcStatus('OK', '')
  let ending: StreamEnd | undefined
  let left = false
  let reading = true
  const openWindows = createWindowOpener(http)

  const session = createSession(
    {
      role: 'server',
      extensions,
      limits: options.limits,
      liveness: {
        intervalMs: extensions.has('heartbeat') ? Number.POSITIVE_INFINITY : STOCK_PING_MS,
        timeoutMs: options.heartbeatTimeoutMs,
      },
      budget: createBudget(options.streamBufferBytes, deps.processBudget),
      nowMs: clock.now(),
    },
    {
      broken(reason) {
        const { status, message, how } = brokenSession(reason)
        end(status, message, how)
      },
      violation(kind) {
        metrics.violation(kind)
        deps.auditOften?.({ event: 'violation', ...whoIs(agent), verdict: 'refused', reason: kind })
      },
      ping: () =>
        pingStock(http, (ms) => {
          session.heard(clock.now())
          record.heardUnixMs = clock.unixMs()
          record.heardMs = clock.now()
          record.roundTripMs = ms
        }),
      roundTrip(ms) {
        record.roundTripMs = ms
        if (extensions.has('flow-control')) openWindows(session.path)
        metrics.roundTrip(ms)
      },
      beat: (beat) => recordBeat(record, beat, clock.unixMs(), clock.now()),
      policyAcknowledged: (answer) => policy.answered(answer),
      lanesWanted: (count) => canUseLanes(extensions) && lanes.wanted(count),
      laneDead: (lane) => lanes.dead(lane),
      draining() {
        if (self.draining) return
        self.draining = true
        events.draining(self)
        log.info({}, 'agent drains')
      },
    },
  )

  const takes = extensions.has('policy')
  const policy = createPolicyPush({
    session,
    takes,
    policy: () => deps.policy(agent.cluster),
    record,
    refusing(is) {
      self.refusing = is
      if (!left) events.refusing(self)
    },
    metrics,
    log,
  })
  const self: AgentStream = {
    agentId: agent.agentId,
    cluster: agent.cluster,
    identifiers: agent.identifiers,
    hosts: hostsOf(agent.identifiers),
    defaultRoute: agent.identifiers.defaultRoute,
    draining: false,
    refusing: false,
    session,
    record,
    laneSockets: () => lanes.sockets(),
    judgesAddresses: takes,
    pushPolicy() {
      if (!left) policy.push()
    },
    tellReplicas() {
      const list = deps.replicas?.()
      if (list) session.pushServers(list)
    },
    end,
  }

  function setReading(on: boolean): void {
    if (on === reading) return
    reading = on
    metrics.agentPaused(on ? -1 : 1)
  }

  function end(status: GrpcStatus, message: string, how: StreamEnd): void {
    if (ending) return
    ending = how
    trailers = grpcStatus(status, message)
    log.warn({ status, reason: message }, 'agent stream ended by the server')
    leave(message, how)
    lanes.finish(carrier.end)
    clock.after(END_GRACE_MS, () => http.destroy())
  }

  /** Takes no more dials, and only then breaks what it has: what is dialled again goes to another agent. */
  function leave(reason: string, how: StreamEnd | CutOffCause): void {
    if (!left) events.gone(self, how)
    left = true
    session.lost(carrier, reason)
  }

  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      serverid: options.serverId,
      servercount: String(options.serverCount),
      ...(agent.extensions === undefined ? {} : { [EXTENSIONS_KEY]: writeExtensions(extensions) }),
    },
    { waitForTrailers: true },
  )
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  const holds = deps.begun.join(() =>
    end('RESOURCE_EXHAUSTED', 'too much is held of messages that were begun and not finished', 'too_large'),
  )
  const carrier = carryOverGrpc({
    stream,
    session,
    maxMessageBytes: options.maxMessageBytes,
    count: metrics.packets,
    now: clock.now,
    reads: setReading,
    held: holds,
    ...(!extensions.has('half-close') && { mayClose: stockClose(http, clock) }),
    failed(error) {
      const { status, message, how } = unreadable(error)
      end(status, message, how)
    },
  })
  const lanes = createAgentLanes({
    session,
    tokens: deps.laneTokens,
    principal: agent.certified,
    joined: events.laneJoined,
    most: options.maxLanes,
    clock,
    log,
    metrics,
  })

  const tick = (): void => session.tick(clock.now(), clock.unixMs())
  const ticker = setInterval(tick, TICK_MS)
  tick()
  stream.on('error', (error) => {
    log.debug({ err: error }, 'agent stream error')
    if (isNoHttp2(error)) ending ??= 'protocol_error'
  })
  stream.on('end', carrier.end)
  stream.once('close', () => {
    clearInterval(ticker)
    holds(0)
    const cutOff = ending ? undefined : events.cutOff()
    const kind = ending ?? (!cutOff && stream.rstCode === constants.NGHTTP2_NO_ERROR ? 'closed' : 'lost')
    const how = cutOff ?? kind
    leave('the agent stream ended', how)
    setReading(true)
    lanes[Symbol.dispose]()
    metrics.streamEnded(kind)
    log.info({ how }, 'agent disconnected')
    const durationMs = Math.round(clock.unixMs() - record.connectedUnixMs)
    deps.audit?.({ event: 'agent-end', ...whoIs(agent), reason: how, durationMs })
    http.close()
    clock.after(END_GRACE_MS, () => http.destroy())
  })
  log.info({ extensions: record.extensions, principal: agent.principal }, 'agent connected')
  deps.audit?.({ event: 'agent', ...whoIs(agent), verdict: 'allowed' })
  return self
}

const whoIs = ({ agentId, cluster, principal, remoteAddress }: NewAgent): Omit<AuditRecord, 'event'> => ({
  cluster,
  principal,
  source: plainAddress(remoteAddress),
  agent: agentId,
})

/** A stock agent knows no heartbeat: that it answers a PING is what its record has. */
function pingStock(http: ServerHttp2Session, answered: (roundTripMs: number) => void): void {
  if (http.destroyed) return
  http.ping((error, ms) => {
    if (!error) answered(ms)
  })
}
