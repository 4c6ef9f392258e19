/**
 * The port agents connect to: TLS, HTTP/2, and on it one gRPC stream that becomes an agent. What is not one is told why.
 * Source: docs/protocol.md sections 1, 9 and 11.
 */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Judgement } from '../kubernetes/core/token-review.ts'
import { ENROLMENT_ALPN } from '../pki/enrolment-wire.ts'
import { NEW_CERTIFICATE_PATH } from '../pki/new-certificate.ts'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import { createWarnings } from '../platform/repeats.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { type TakeToken, tokenBucket } from '../platform/token-bucket.ts'
import { EXTENSIONS_KEY } from '../tunnel/extensions.ts'
import { openSessionWindow, STREAM_WINDOW_BYTES } from '../tunnel/http2-windows.ts'
import { LANE_ALPN } from '../tunnel/lane.ts'
import {
  type AgentStream,
  type AgentStreamDeps,
  type AgentStreamEvents,
  type NewAgent,
  serveAgentStream,
} from './agent-stream.ts'
import { createAgentTenants } from './agent-tenants.ts'
import { type Admission, admit, type PeerCertificate } from './core/admission.ts'
import { unknownEncoding, unknownMethod } from './core/grpc-status.ts'
import { countIdentifiers } from './core/identifiers.ts'
import { headerListBytes, readRegistration, valuesOf } from './core/registration.ts'
import { refuseStream } from './grpc-refusal.ts'
import { createHandshakeGate } from './handshake-gate.ts'
import { takeLane } from './lane-listener.ts'
import { takeShownCertificate } from './shown-certificate.ts'
import { plainAddress } from './source.ts'
import type { Standing } from './standing.ts'
import type { Tenants } from './tenants.ts'
import { createTlsListener, peerCertificate } from './tls-listener.ts'

/** Node refuses streams when a session holds more than this: MiB. Our own budgets are far below. */
const SESSION_MEMORY_MIB = 1024
/** Whoever opens more on one connection is hung up on: a stream that the peer leaves open costs memory, refused or not. */
const MAX_STREAMS = 16
/** Longest id that is logged of an agent which nobody knows: characters. */
const MAX_SHOWN_CHARS = 100
/** Lets an answer reach an agent that is refused before the connection ends: milliseconds. */
const REFUSAL_GRACE_MS = 1_000

export type AgentListenerOptions = {
  readonly material: TlsMaterial
  readonly standing?: Standing | undefined
  /** Takes over who comes for a certificate. */
  readonly enrolment?: ((socket: TLSSocket, peer: PeerCertificate) => void) | undefined
  readonly protocol: TlsProtocol
  readonly trustDomain: string | undefined
  readonly handshakeTimeoutMs: number
  readonly handshakesPerSecond: number
  readonly streamTimeoutMs: number
  readonly maxStreamsPerIdentity: number
  /** Of all streams of an identity together. */
  readonly maxIdentifiersPerIdentity: number
  readonly maxHeaderListBytes: number
  /**
   * Where agents show a token instead of a certificate: says whose it is. The values are those of `authorization`, all that
   * came; the signal is aborted when the agent goes away.
   */
  readonly authenticate?: (values: readonly string[], gone: AbortSignal) => Promise<Judgement>
  /** On a server of many clusters. */
  readonly tenants?: Tenants
}

export type AgentListenerEvents = AgentStreamEvents & {
  readonly connected: (agent: AgentStream) => void
  readonly refused?: (source: string | undefined, agent: string | undefined, why: string, reason: string) => void
}

export type AgentListener = {
  /** New handshakes use this. */
  readonly renew: (material: TlsMaterial) => void
  /** Accepted sockets; for a `net.Server` that listens with `pauseOnConnect`. */
  readonly take: (socket: Socket) => void
  /** No new agents from now on: they are told UNAVAILABLE. */
  readonly close: () => void
}

/** Refused ones that are remembered, so as to warn of each once in a while and not each time that it comes back. */
const MAX_WARNED = 1_000

/** New certificates that are shown on one connection: so many at once and in this time. Each may cost a search for its CA. */
const MAX_SHOWN = 16
const SHOWN_PER_MS = 160_000

/** Whose connection it is, and whose certificate that was made with. */
type Admitted = {
  readonly served: AgentStream
  readonly certified: string
  readonly mayShow: TakeToken
  isShowing: boolean
}

/** What the agents of one identity hold together. */
type Held = { readonly streams: number; readonly identifiers: number }
const NOTHING: Held = { streams: 0, identifiers: 0 }

export function createAgentListener(
  options: AgentListenerOptions,
  deps: AgentStreamDeps,
  events: AgentListenerEvents,
): AgentListener {
  const { clock, log, metrics } = deps
  const held = new Map<string, Held>() // by principal
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const tenants = options.tenants && createAgentTenants(options.tenants, options.trustDomain)
  const agents = new WeakMap<ServerHttp2Session, Admitted>()
  let open = true
  const tls = createTlsListener({
    material: options.material,
    standing: options.standing,
    protocol: options.protocol,
    // The first of ours that the other end names counts, and an agent names others beside that of enrolment when it is told to.
    alpn: [LANE_ALPN, ...(options.enrolment ? [ENROLMENT_ALPN] : []), 'h2'],
    handshakeTimeoutMs: options.handshakeTimeoutMs,
    halfOpen: false,
    connected,
    failed(why, error) {
      metrics.handshakeFailed('agent', why)
      log.debug({ err: error }, 'TLS handshake on the agent port failed')
    },
  })
  const take = createHandshakeGate({
    perSecond: options.handshakesPerSecond,
    waitMs: options.handshakeTimeoutMs,
    clock,
    admit: tls.take,
    turnedAway: () => metrics.handshakeFailed('agent', 'too_many'),
  })

  function connected(socket: TLSSocket): void {
    socket.on('error', (error) => log.debug({ err: error }, 'agent connection error'))
    if (socket.alpnProtocol === LANE_ALPN) return lane(socket)
    if (socket.alpnProtocol === ENROLMENT_ALPN) return options.enrolment?.(socket, peerOf(socket))
    const http = performServerHandshake(socket, {
      settings: {
        maxHeaderListSize: options.maxHeaderListBytes,
        ...(!options.authenticate && { initialWindowSize: STREAM_WINDOW_BYTES }),
      },
      maxSessionMemory: SESSION_MEMORY_MIB,
    })
    if (!options.authenticate) openSessionWindow(http)
    http.on('error', (error) => log.debug({ err: error }, 'agent HTTP/2 error'))
    const deadline = clock.after(options.streamTimeoutMs, () => {
      metrics.agentRefused('slow')
      hungUpOn(socket, 'no stream in time')
      http.destroy()
    })
    let streams = 0
    http.on('stream', (stream, headers, _flags, rawHeaders) => {
      deadline[Symbol.dispose]()
      stream.on('error', (error) => log.debug({ err: error }, 'agent stream error'))
      const shown = headers[':path'] === NEW_CERTIFICATE_PATH ? agents.get(http) : undefined
      const { standing } = options
      if (shown && standing && !shown.isShowing && shown.mayShow(clock.now())) {
        return certificateShown(socket, stream, shown, standing)
      }
      streams++
      if (streams > MAX_STREAMS) return hangUp(socket, http)
      if (shown) {
        stream.respond({ ':status': 429 })
        return void stream.end('', () => stream.close())
      }
      if (streams > 1) return refuse('second_stream', stream, 'RESOURCE_EXHAUSTED', 'one stream per connection')
      serve(socket, http, stream, headers[':path'], headers[':method'], rawHeaders as unknown as string[])
    })
    http.on('close', () => deadline[Symbol.dispose]())
  }

  const peerOf = (socket: TLSSocket): PeerCertificate =>
    peerCertificate(socket, options.material.ca !== undefined, options.standing)

  function lane(socket: TLSSocket): void {
    const admission = admissionOf(socket)
    if (admission.kind === 'refused') {
      forbidden(admission)
      hungUpOn(socket, `lane: client certificate not accepted: ${admission.cause}`)
      return void socket.destroy()
    }
    takeLane(socket, admission.principal, {
      tokens: deps.laneTokens,
      clock,
      helloTimeoutMs: options.streamTimeoutMs,
      refused(why) {
        metrics.laneRefused(why)
        hungUpOn(socket, `lane: ${why}`)
        log.debug({ why, remote: socket.remoteAddress }, 'lane refused')
      },
    })
  }

  function hungUpOn(socket: TLSSocket, reason: string): void {
    deps.audit?.({ event: 'agent', source: plainAddress(socket.remoteAddress), verdict: 'refused', reason })
  }

  const admissionOf = (socket: TLSSocket): Admission => admissionOfPeer(peerOf(socket))

  /** With tokens it is theirs to say which cluster an agent is of. */
  function admissionOfPeer(peer: PeerCertificate): Admission {
    return tenants && !options.authenticate ? tenants.ofPeer(peer) : admit(peer, ['agent'], options.trustDomain)
  }

  function forbidden({ unmapped }: { readonly unmapped?: true }): void {
    if (unmapped) options.tenants?.unmapped('agent')
    else metrics.clientForbidden('agent')
  }

  /** In use: from now on its connections live as long as the new certificate. */
  function certificateShown(socket: TLSSocket, stream: ServerHttp2Stream, agent: Admitted, standing: Standing): void {
    agent.isShowing = true
    stream.once('close', () => {
      agent.isShowing = false
    })
    takeShownCertificate(stream, socket, {
      clock,
      standing,
      admission: admissionOfPeer,
      principal: agent.certified,
      cluster: agent.served.cluster,
      sockets: () => [socket, ...agent.served.laneSockets()],
      done(problem) {
        const who = { agent: agent.served.agentId, remote: socket.remoteAddress }
        if (problem === undefined) log.info(who, 'agent shows a new certificate')
        else
          warnings.warn(
            `certificate ${who.remote}`,
            { ...who, reason: `the new certificate ${problem}` },
            'agent shows a certificate that is no good',
          )
      },
    })
  }

  function hangUp(socket: TLSSocket, http: ServerHttp2Session): void {
    if (http.destroyed) return // by an earlier stream that came in the same read
    metrics.agentRefused('second_stream')
    hungUpOn(socket, 'many streams on one connection')
    http.destroy()
  }

  function lastWords(http: ServerHttp2Session): void {
    http.close()
    clock.after(REFUSAL_GRACE_MS, () => http.destroy())
  }

  /** Who has shown who it is may send as fast as its path allows; nobody else can have us hold more than HTTP/2's least. */
  function openWindows(http: ServerHttp2Session): void {
    http.settings({ initialWindowSize: STREAM_WINDOW_BYTES })
    openSessionWindow(http)
  }

  function refuse(
    why: Parameters<typeof metrics.agentRefused>[0],
    stream: ServerHttp2Stream,
    status: Parameters<typeof refuseStream>[1],
    message: string,
    who: { readonly agent?: string } = {},
  ): void {
    metrics.agentRefused(why)
    const remote = stream.session?.socket?.remoteAddress
    deps.audit?.({ event: 'agent', source: plainAddress(remote), ...who, verdict: 'refused', reason: message })
    events.refused?.(plainAddress(remote), who.agent, why, message)
    warnings.warn(`${why} ${remote}`, { why, reason: message, remote, ...who }, 'agent refused')
    refuseStream(stream, status, message)
  }

  function serve(
    socket: TLSSocket,
    http: ServerHttp2Session,
    stream: ServerHttp2Stream,
    path: string | undefined,
    method: string | undefined,
    rawHeaders: readonly string[],
  ): void {
    if (headerListBytes(rawHeaders) > options.maxHeaderListBytes) {
      const limit = `the header list is over the limit of ${options.maxHeaderListBytes} bytes`
      refuse('metadata', stream, 'RESOURCE_EXHAUSTED', limit)
      return lastWords(http)
    }
    const unknown = unknownMethod('AgentService', 'Connect', path, method)
    if (unknown !== undefined) {
      refuse('unknown_method', stream, 'UNIMPLEMENTED', unknown)
      return lastWords(http)
    }
    const [encoding] = valuesOf(rawHeaders, 'grpc-encoding')
    const unreadable = unknownEncoding(encoding)
    if (unreadable !== undefined) {
      refuse('encoding', stream, 'UNIMPLEMENTED', unreadable)
      return lastWords(http)
    }
    const admission = admissionOf(socket)
    if (admission.kind === 'refused') {
      forbidden(admission)
      const why = admission.unmapped ? 'unmapped' : 'unauthenticated'
      refuse(why, stream, 'UNAUTHENTICATED', `client certificate not accepted: ${admission.cause}`)
      return lastWords(http)
    }
    const registration = readRegistration(rawHeaders, EXTENSIONS_KEY)
    if (registration.kind === 'refused') {
      refuse('metadata', stream, 'UNKNOWN', registration.text)
      return lastWords(http)
    }
    const agent = {
      ...registration,
      cluster: admission.cluster,
      certified: admission.principal,
      remoteAddress: socket.remoteAddress ?? '',
    }
    if (!options.authenticate) return admitAs(admission.principal, http, stream, agent, () => admissionOf(socket))
    const gone = new AbortController()
    stream.once('close', () => gone.abort())
    void options.authenticate(valuesOf(rawHeaders, 'authorization'), gone.signal).then((judgement) => {
      if (stream.destroyed) return
      const who = { agent: agent.agentId.slice(0, MAX_SHOWN_CHARS) }
      if (judgement.kind === 'refused') {
        refuse('unauthenticated', stream, 'UNKNOWN', judgement.text, who)
        return lastWords(http)
      }
      const { username } = judgement
      const ofUser = (): Admission => tenants?.ofUser(username) ?? admission
      const its = ofUser()
      if (its.kind === 'admitted') return admitAs(username, http, stream, { ...agent, cluster: its.cluster }, ofUser)
      forbidden(its)
      refuse('unmapped', stream, 'UNAUTHENTICATED', its.cause, who)
      lastWords(http)
    })
  }

  function admitAs(
    principal: string,
    http: ServerHttp2Session,
    stream: ServerHttp2Stream,
    agent: Omit<NewAgent, 'principal'>,
    now: () => Admission,
  ): void {
    if (!open) {
      refuse('shutdown', stream, 'UNAVAILABLE', 'the server is shutting down')
      return lastWords(http)
    }
    const { streams, identifiers } = held.get(principal) ?? NOTHING
    if (streams >= options.maxStreamsPerIdentity) {
      refuse('too_many', stream, 'RESOURCE_EXHAUSTED', `${streams} agents are connected with this identity`)
      return lastWords(http)
    }
    const named = countIdentifiers(agent.identifiers)
    if (identifiers + named > options.maxIdentifiersPerIdentity) {
      const limit = `agents with this identity would have ${identifiers + named} identifiers`
      refuse('too_many', stream, 'RESOURCE_EXHAUSTED', limit)
      return lastWords(http)
    }
    const obstacle = tenants?.obstacle({ ...agent, principal })
    if (obstacle) {
      const who = { agent: agent.agentId.slice(0, MAX_SHOWN_CHARS) }
      refuse(obstacle.why, stream, obstacle.status, obstacle.text, who)
      return lastWords(http)
    }
    hold(principal, 1, named)
    if (options.authenticate) openWindows(http)
    const itsDeps = tenants?.depsOf(agent.cluster, deps) ?? deps
    let state: 'new' | 'known' | 'gone' = 'new'
    let leave: (() => void) | undefined
    const served = serveAgentStream(http, stream, { ...agent, principal }, itsDeps, {
      draining: events.draining,
      gone(leaving, how) {
        hold(principal, -1, -named)
        leave?.()
        if (state === 'known') events.gone(leaving, how)
        state = 'gone'
      },
    })
    if (hasGone()) return // what it is sent at its beginning may already be too much for the budget
    leave = tenants?.join(served, principal, now)
    agents.set(http, {
      served,
      certified: agent.certified,
      isShowing: false,
      mayShow: tokenBucket(MAX_SHOWN, SHOWN_PER_MS),
    })
    state = 'known'
    events.connected(served)
    served.pushPolicy() // behind all the rest: it may be what ends the stream

    function hasGone(): boolean {
      return state === 'gone'
    }
  }

  function hold(principal: string, streams: 1 | -1, identifiers: number): void {
    const before = held.get(principal) ?? NOTHING
    const after = { streams: before.streams + streams, identifiers: before.identifiers + identifiers }
    if (after.streams > 0) held.set(principal, after)
    else held.delete(principal)
  }

  return {
    renew: tls.renew,
    take,
    close() {
      open = false
    },
  }
}
