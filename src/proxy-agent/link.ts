/**
 * One outbound connection to a proxy-server and the stream on it: TLS, HTTP/2, the answer to our registration, the end.
 * Source: docs/protocol.md sections 1, 6 and 7.
 */
import { connect as connectHttp2 } from 'node:http2'
import type { Audit } from '../audit/record.ts'
import { TunnelError } from '../platform/errors.ts'
import { readTokenFile } from '../platform/secret-file.ts'
import { type StreamEndCode, streamEndCode } from '../platform/stream-figures.ts'
import { tlsErrorText } from '../platform/tls-alert.ts'
import {
  EXTENSIONS_KEY,
  type Extensions,
  offered,
  readExtensions,
  without,
  writeExtensions,
} from '../tunnel/extensions.ts'
import { openSessionWindow, STREAM_WINDOW_BYTES } from '../tunnel/http2-windows.ts'
import { serverPrincipal } from './audit-identity.ts'
import { hostPort } from './core/go-errors.ts'
import { readServerAnswer, statusText } from './core/server-answer.ts'
import { createKnownCertificate } from './known-certificate.ts'
import { createKnownToken } from './known-token.ts'
import type { Link, LinkDeps, LinkEvents, LinkOptions } from './link-owner.ts'
import { type LinkSession, serveLink } from './link-session.ts'
import { shuffledLookup } from './lookups.ts'
import { createQuiet } from './quiet.ts'
import { connectToServer } from './server-socket.ts'

const METHOD = '/AgentService/Connect'
/** From the first SYN to the server's answer: milliseconds. A server that is half dead must not hold us longer. */
const CONNECT_TIMEOUT_MS = 10_000
const SESSION_MEMORY_MIB = 1024
const MAX_HEADER_LIST_BYTES = 16 * 1024
/** A link is looked at this often, and no more often than the second, whatever `probeIntervalMs` says: milliseconds. */
const TICK_MS = 500
const MIN_TICK_MS = 50
/** How long a stream that we end may take to bring its last frames out: milliseconds. */
const END_GRACE_MS = 500

export function openLink(options: LinkOptions, deps: LinkDeps, events: LinkEvents): Link {
  const { clock } = deps
  let ownToken: string | undefined
  try {
    ownToken = options.tokenFile === '' ? undefined : readTokenFile(options.tokenFile)
  } catch (error) {
    return neverOpened((error as Error).message, deps, events)
  }
  const authority = hostPort(options.serverName ?? options.host, options.port)
  let log = deps.log.child({ server: authority })
  let serverId = ''
  let served: LinkSession | undefined
  let reason = 'the connection closed'
  let endCode: StreamEndCode = 'Unavailable' // unless the server says more, or what it sends makes no sense
  let ended = false // by us: what comes then is not why
  let ticker: NodeJS.Timeout | undefined
  let openedMs: number | undefined
  let lists = false
  let audit: Audit | undefined
  const ours = offeredBy(options)
  const over = new AbortController()
  const isIdle = (): boolean => served?.session.connectionCount() === 0 && served.session.dialCount() === 0
  const quiet = createQuiet(options.drainQuietMs, clock, isIdle)
  const lookup = shuffledLookup(deps.network.lookup, deps.random, over.signal)
  const material = options.material()
  const socket = connectToServer({
    ...options,
    material,
    alpn: [...options.alpn, 'h2'],
    lookup,
    standing: deps.standing,
    lost: end,
  })
  const http = connectHttp2(`https://${authority}`, {
    createConnection: () => socket,
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize: MAX_HEADER_LIST_BYTES, enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MIB,
  })
  const certificate = createKnownCertificate({ ...options, ...deps, http, socket }, material.cert)
  const token = createKnownToken({ ...options, ...deps, http }, ownToken)
  const deadline = clock.after(CONNECT_TIMEOUT_MS, unanswered)

  const link: Link = {
    get serverId() {
      return serverId
    },
    session: () => served?.session,
    lists: () => lists,
    endCode: () => endCode,
    drain: () => served?.session.drain(),
    showCertificate: certificate.renewed,
    showToken: token.renewed,
    finish: () => served?.lanes.finish(served.carrier.end),
    end,
  }

  function end(why: string): void {
    note(why)
    ended = true
    lose(why)
    if (served) served.carrier.end()
    else if (!stream.destroyed) stream.end()
    clock.after(served ? END_GRACE_MS : 0, () => http.destroy())
  }

  /** Told of is a server that shows its certificate and then says nothing: of one that is down each attempt would be a line. */
  function unanswered(): void {
    const why = `no answer within ${CONNECT_TIMEOUT_MS} ms`
    if (socket.authorized) deps.audit?.({ event: 'server', destination: authority, verdict: 'refused', reason: why })
    end(why)
  }

  function lose(why: string): void {
    served?.session.lost(served.carrier, why)
  }

  function note(why: string, code: StreamEndCode = endCode): void {
    if (ended) return
    reason = why
    endCode = code
  }

  /** A stream that breaks with its connection says that it was cancelled: what broke the connection is its cause. */
  const failed = (error: Error): void => note(tlsErrorText(error.cause instanceof Error ? error.cause : error))

  function unreadable(error: unknown): void {
    const tooLarge = error instanceof TunnelError && error.code === 'message-too-large'
    note(error instanceof Error ? error.message : String(error), tooLarge ? 'ResourceExhausted' : 'Internal')
    end(reason)
  }

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
    ...(ownToken !== undefined && { authorization: `Bearer ${ownToken}` }), // leaves when TLS has verified the server: until then HTTP/2 has no connection to write to
  })
  stream.on('error', failed)
  stream.on('trailers', (headers) => {
    const status = String(headers['grpc-status'])
    note(statusText(status, headers['grpc-message'] as string | undefined), streamEndCode(status))
  })
  stream.once('response', (_headers, _flags, rawHeaders) => answered(rawHeaders as unknown as string[]))
  stream.on('end', () => served?.carrier.end())
  stream.once('close', () => {
    over.abort()
    certificate[Symbol.dispose]()
    token[Symbol.dispose]()
    served?.lanes[Symbol.dispose]()
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
    events.gone(link, reason, served !== undefined)
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
    audit = deps.audit && auditedBy(deps.audit, serverPrincipal(socket))
    log = log.child({ server_id: serverId })
    const extensions = readExtensions(answer.extensions, ours)
    lists = extensions.has('servers')
    served = serveLink(
      {
        link,
        http,
        stream,
        socket,
        lookup,
        serverId,
        destination: authority,
        extensions,
        quiet,
        audit,
        log,
        end,
        unreadable,
      },
      options,
      deps,
      events,
    )
    const { session } = served
    const tick = (): void => session.tick(clock.now(), clock.unixMs())
    ticker = setInterval(tick, Math.max(MIN_TICK_MS, Math.min(TICK_MS, options.probeIntervalMs)))
    tick()
    if (extensions.has('new-certificate')) certificate.begin(log) // it may have been renewed meanwhile
    if (extensions.has('new-token')) token.begin(log)
    events.connected(link, answer.serverCount, [...extensions])
    if (ended) return
    openedMs = clock.now()
    audit?.({ event: 'server', server: serverId, destination: authority, verdict: 'allowed' })
  }

  return link
}

const offeredBy = ({ lanes, tokenFile }: LinkOptions): Extensions =>
  without(offered, ...(lanes === 0 ? ['lanes' as const] : []), ...(tokenFile === '' ? ['new-token' as const] : []))

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
    showToken: nothing,
    finish: nothing,
    end: nothing,
  }
  clock.after(0, () => events.gone(link, reason, false)) // the caller has it by then
  return link
}
