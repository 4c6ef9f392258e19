/**
 * One outbound connection to a proxy-server and the stream on it: TLS, HTTP/2, the answer to our registration, the session.
 * Source: docs/protocol.md sections 1, 2, 6 and 7.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import type { Audit } from '../audit/record.ts'
import { createRepeatedAudit } from '../audit/repeated.ts'
import { type BackoffLimits, backoffMs } from '../platform/backoff.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import { readTokenFile } from '../platform/secret-file.ts'
import { type StreamEndCode, streamEndCode } from '../platform/stream-figures.ts'
import { createBudget } from '../tunnel/budget.ts'
import {
  EXTENSIONS_KEY,
  type Extensions,
  offered,
  readExtensions,
  without,
  writeExtensions,
} from '../tunnel/extensions.ts'
import { carryOverGrpc, type GrpcStream } from '../tunnel/grpc-stream.ts'
import { createWindowOpener, openSessionWindow, STREAM_WINDOW_BYTES } from '../tunnel/http2-windows.ts'
import { LANE_ALPN } from '../tunnel/lane.ts'
import { createSession } from '../tunnel/session.ts'
import type { Session } from '../tunnel/session-owner.ts'
import { serverPrincipal } from './audit-identity.ts'
import { hostPort } from './core/go-errors.ts'
import { laneCount } from './core/lane-count.ts'
import { readServerAnswer, statusText } from './core/server-answer.ts'
import { createTargetDialer } from './endpoints.ts'
import { createGate } from './gate.ts'
import { createLanes, type Lanes } from './lanes.ts'
import type { Link, LinkDeps, LinkEvents, LinkOptions } from './link-owner.ts'
import { shuffledLookup } from './lookups.ts'
import { showNewCertificate } from './new-certificate.ts'
import { createQuiet } from './quiet.ts'
import { createServerLists } from './server-lists.ts'
import { connectToServer } from './server-socket.ts'

const METHOD = '/AgentService/Connect'
/** From the first SYN to the server's answer: milliseconds. A server that is half dead must not hold us longer. */
const CONNECT_TIMEOUT_MS = 10_000
const SESSION_MEMORY_MIB = 1024
const MAX_HEADER_LIST_BYTES = 16 * 1024
/** A link is looked at this often, and no more often than the second, whatever `probeIntervalMs` says: milliseconds. */
const TICK_MS = 500
const MIN_TICK_MS = 50
/** A stock server hangs up on clients that ping more often than every 30 s. */
const STOCK_PING_MS = 31_000
const WHY_BROKEN: Readonly<Record<string, string>> = {
  'heartbeat-timeout': 'nothing heard from the server for too long',
  'peer-does-not-read': 'the server does not read what it has to be told',
}
/** Waits before a new certificate that was not taken is shown again. */
const SHOW_AGAIN: BackoffLimits = { baseMs: 2_000, capMs: 300_000 }
/** How long a stream that we end may take to bring its last frames out: milliseconds. */
const END_GRACE_MS = 500

export function openLink(options: LinkOptions, deps: LinkDeps, events: LinkEvents): Link {
  const { clock, metrics } = deps
  let authorization: { readonly authorization?: string }
  try {
    authorization = options.tokenFile === '' ? {} : { authorization: `Bearer ${readTokenFile(options.tokenFile)}` }
  } catch (error) {
    return neverOpened((error as Error).message, deps, events)
  }
  const authority = hostPort(options.serverName ?? options.host, options.port)
  let log = deps.log.child({ server: authority })
  let serverId = ''
  let session: Session | undefined
  let carrier: GrpcStream | undefined
  let lanes: Lanes | undefined
  let reason = 'the connection closed'
  let endCode: StreamEndCode = 'Unavailable' // unless the server says more, or what it sends makes no sense
  let ended = false // by us: what comes then is not why
  let ticker: NodeJS.Timeout | undefined
  let openedMs: number | undefined
  let lists = false
  let audit: Audit | undefined
  let auditOften: Audit | undefined
  let lose = (_reason: string): void => {}
  const ours = options.lanes === 0 ? without(offered, 'lanes') : offered
  const over = new AbortController()
  const isIdle = (): boolean => session?.connectionCount() === 0 && session.dialCount() === 0
  const quiet = createQuiet(options.drainQuietMs, clock, isIdle)
  const lookup = shuffledLookup(deps.network.lookup, deps.random, over.signal)
  let shown = options.material().cert
  let showsCertificates = false
  let refusals = 0
  let showAgain: Disposable | undefined
  const socket = connectToServer({ ...options, material: options.material(), alpn: [...options.alpn, 'h2'], lookup })
  const http = connectHttp2(`https://${authority}`, {
    createConnection: () => socket,
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize: MAX_HEADER_LIST_BYTES, enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MIB,
  })
  const deadline = clock.after(CONNECT_TIMEOUT_MS, () => end(`no answer within ${CONNECT_TIMEOUT_MS} ms`))

  const link: Link = {
    get serverId() {
      return serverId
    },
    session: () => session,
    lists: () => lists,
    endCode: () => endCode,
    drain: () => session?.drain(),
    showCertificate,
    finish: () => carrier && lanes?.finish(carrier.end),
    end,
  }

  function end(why: string): void {
    note(why)
    ended = true
    lose(why)
    if (carrier) carrier.end()
    else if (!stream.destroyed) stream.end()
    clock.after(session ? END_GRACE_MS : 0, () => http.destroy())
  }

  function showCertificate(): void {
    const { cert, key } = options.material()
    if (!showsCertificates || cert === undefined || key === undefined || cert === shown) return
    shown = cert
    showAgain?.[Symbol.dispose]()
    showNewCertificate(http, socket, { cert, key }, (problem) => {
      if (problem === undefined) {
        refusals = 0
        return log.debug({}, 'the server knows the new certificate')
      }
      if (over.signal.aborted) return
      refusals++
      log.warn({ reason: problem, refusals }, 'the server does not take the new certificate for this connection')
      if (shown !== cert) return // there is a newer one
      // It may not have read yet what it judges by, such as a CA that is new.
      showAgain = clock.after(backoffMs(refusals, SHOW_AGAIN, deps.random()), () => {
        shown = undefined
        showCertificate()
      })
    })
  }

  function note(why: string, code: StreamEndCode = endCode): void {
    if (ended) return
    reason = why
    endCode = code
  }

  /** A stream that breaks with its connection says that it was cancelled: what broke the connection is its cause. */
  const failed = (error: Error): void => note(error.cause instanceof Error ? error.cause.message : error.message)

  http.once('connect', () => openSessionWindow(http))
  http.on('error', failed)
  const stream = http.request({
    ':method': 'POST',
    ':path': METHOD,
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': options.userAgent,
    agentid: options.agentId,
    agentidentifiers: options.identifiers,
    [EXTENSIONS_KEY]: writeExtensions(ours),
    ...authorization, // leaves when TLS has verified the server: until then HTTP/2 has no connection to write to
  })
  stream.on('error', failed)
  stream.on('trailers', (headers) => {
    const status = String(headers['grpc-status'])
    note(statusText(status, headers['grpc-message'] as string | undefined), streamEndCode(status))
  })
  stream.once('response', (_headers, _flags, rawHeaders) => answered(rawHeaders as unknown as string[]))
  stream.on('end', () => carrier?.end())
  stream.once('close', () => {
    over.abort()
    showAgain?.[Symbol.dispose]()
    lanes?.[Symbol.dispose]()
    quiet[Symbol.dispose]()
    deadline[Symbol.dispose]()
    clearInterval(ticker)
    lose(reason)
    http.close()
    clock.after(END_GRACE_MS, () => http.destroy())
    if (openedMs !== undefined) {
      const durationMs = Math.round(clock.now() - openedMs)
      audit?.({ event: 'server-end', server: serverId, destination: authority, reason, durationMs })
    }
    events.gone(link, reason, session !== undefined)
  })

  function answered(rawHeaders: readonly string[]): void {
    if (ended) return // too late
    deadline[Symbol.dispose]()
    const answer = readServerAnswer(rawHeaders, EXTENSIONS_KEY)
    if (answer.kind === 'refused') {
      deps.audit?.({ event: 'server', destination: authority, verdict: 'refused', reason: answer.text })
      return end(answer.text)
    }
    serverId = answer.serverId
    if (deps.audit) {
      audit = auditedBy(deps.audit, serverPrincipal(socket))
      auditOften = createRepeatedAudit(audit, clock)
    }
    log = log.child({ server_id: serverId })
    const extensions = readExtensions(answer.extensions, ours)
    lists = extensions.has('servers')
    serve(extensions)
    showsCertificates = extensions.has('new-certificate')
    showCertificate() // should it have been renewed meanwhile
    events.connected(link, answer.serverCount, [...extensions])
    if (ended) return
    openedMs = clock.now()
    audit?.({ event: 'server', server: serverId, destination: authority, verdict: 'allowed' })
  }

  function serve(extensions: Extensions): void {
    const heartbeats = extensions.has('heartbeat')
    const gate = createGate({
      hubRanges: options.hubRanges,
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
    let roundTripMs: number | undefined
    const openWindows = createWindowOpener(http)
    const made = createSession(
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
          auditOften?.({
            event: 'violation',
            server: serverId,
            destination: authority,
            verdict: 'refused',
            reason: kind,
          })
        },
        ping: (number) => carrier?.whenSent(() => pingStock(http, made, number, clock)),
        roundTrip(ms) {
          roundTripMs = ms
          if (extensions.has('flow-control')) openWindows(made.path)
          metrics.roundTrip(ms)
        },
        carriesMuch: () => lanes?.wanted(),
        laneOffered: (lane, token) => lanes?.offered(lane, token),
        laneIdle: (lane) => lanes?.idle(lane),
        laneDead: (lane) => lanes?.dead(lane),
        dial(request) {
          quiet.asked()
          dialer.dial(made, request)
        },
        dialOverLimit: dialer.overLimit,
        dialCancelled: dialer.cancel,
        policy(pushed) {
          const answer = gate.push(pushed)
          if (answer === 'too-often') return end('the server pushes policies too often')
          made.acknowledgePolicy(answer)
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
    session = made
    lanes = createLanes({
      ...deps,
      log,
      session: made,
      count: () => laneCount(options.lanes, made.path),
      connect: () =>
        connectToServer({
          ...options,
          material: options.material(),
          alpn: [...options.alpn, LANE_ALPN], // whoever routes by the others routes lanes alike
          lookup,
          address: socket.remoteAddress ?? options.host,
          halfOpen: true,
        }),
    })
    const grpcStream = carryOverGrpc({
      stream,
      session: made,
      maxMessageBytes: options.maxMessageBytes,
      count: metrics.packets,
      now: clock.now,
      failed(error) {
        const tooLarge = error instanceof TunnelError && error.code === 'message-too-large'
        note(error instanceof Error ? error.message : String(error), tooLarge ? 'ResourceExhausted' : 'Internal')
        end(reason)
      },
    })
    carrier = grpcStream
    lose = (why) => made.lost(grpcStream, why)
    const tick = (): void => made.tick(clock.now(), clock.unixMs())
    ticker = setInterval(tick, Math.max(MIN_TICK_MS, Math.min(TICK_MS, options.probeIntervalMs)))
    tick()
  }

  return link
}

/** The server's name is in each line. */
const auditedBy =
  (audit: Audit, principal: string | undefined): Audit =>
  (record) =>
    audit({ ...record, principal })

/** An attempt that failed before there was anything to connect with. */
function neverOpened(reason: string, { clock }: LinkDeps, events: LinkEvents): Link {
  const nothing = (): void => undefined
  const link: Link = {
    serverId: '',
    session: () => undefined,
    lists: () => false,
    endCode: () => 'Unavailable',
    drain: nothing,
    showCertificate: nothing,
    finish: nothing,
    end: nothing,
  }
  clock.after(0, () => events.gone(link, reason, false)) // the caller has it by then
  return link
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
