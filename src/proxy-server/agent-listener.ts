/**
 * The port agents connect to: TLS, HTTP/2, and on it one gRPC stream that becomes an agent (`agent-joining.ts`); beside it lanes,
 * and who comes for a certificate. Source: docs/protocol.md sections 1, 9 and 11.
 */
import { performServerHandshake, type ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { NEW_TOKEN_PATH } from '../kubernetes/core/new-token.ts'
import { ENROLMENT_ALPN } from '../pki/enrolment-wire.ts'
import { NEW_CERTIFICATE_PATH } from '../pki/new-certificate.ts'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import { createWarnings } from '../platform/repeats.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { openSessionWindow, STREAM_WINDOW_BYTES } from '../tunnel/http2-windows.ts'
import { LANE_ALPN } from '../tunnel/lane.ts'
import { createAgentAdmission } from './agent-admission.ts'
import { createAgentCertificates } from './agent-certificates.ts'
import { type AgentCall, type AgentJoiningOptions, createAgentJoining } from './agent-joining.ts'
import { createAgentRefusals } from './agent-refusals.ts'
import type { AgentStream, AgentStreamDeps, AgentStreamEvents } from './agent-stream-owner.ts'
import { createAgentTenants } from './agent-tenants.ts'
import { createAgentTokens } from './agent-tokens.ts'
import type { PeerCertificate } from './core/admission.ts'
import type { RequestHead } from './core/agent-call.ts'
import { valuesOf } from './core/registration.ts'
import type { BehindFrontDoors } from './front-doors.ts'
import { createHandshakeGate } from './handshake-gate.ts'
import { isNoHttp2 } from './http2-errors.ts'
import { takeLane } from './lane-listener.ts'
import { addressOf, plainAddress } from './source.ts'
import type { Standing } from './standing.ts'
import type { Tenants } from './tenants.ts'
import { createTlsListener } from './tls-listener.ts'

/** Node refuses streams when a session holds more than this: MiB. Our own budgets are far below. */
const SESSION_MEMORY_MIB = 1024
/** Whoever opens more on one connection is hung up on: a stream that the peer leaves open costs memory, refused or not. */
const MAX_STREAMS = 16
/** Refused ones that are remembered, so as to warn of each once in a while and not each time that it comes back. */
const MAX_WARNED = 1_000

export type AgentListenerOptions = AgentJoiningOptions & {
  readonly material: TlsMaterial
  readonly standing?: Standing | undefined
  /** Takes over who comes for a certificate. */
  readonly enrolment?: ((socket: TLSSocket, peer: PeerCertificate) => void) | undefined
  readonly protocol: TlsProtocol
  readonly trustDomain: string | undefined
  readonly handshakeTimeoutMs: number
  readonly handshakesPerSecond: number
  readonly streamTimeoutMs: number
  readonly frontDoors?: BehindFrontDoors | undefined
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

const SECOND_STREAM = {
  why: 'second_stream',
  status: 'RESOURCE_EXHAUSTED',
  text: 'one stream per connection',
} as const

export function createAgentListener(
  options: AgentListenerOptions,
  deps: AgentStreamDeps,
  events: AgentListenerEvents,
): AgentListener {
  const { clock, log, metrics, audit, auditOften } = deps
  const { authenticate, standing } = options
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const tenants = options.tenants && createAgentTenants(options.tenants, options.trustDomain, clock)
  const admission = createAgentAdmission(
    {
      material: options.material,
      standing,
      trustDomain: options.trustDomain,
      byToken: authenticate !== undefined,
    },
    { tenants: options.tenants, agentTenants: tenants, metrics },
  )
  const refusals = createAgentRefusals({ clock, warnings, metrics, audit, auditOften, refused: events.refused })
  const certificates = createAgentCertificates({ standing, clock, log, warnings })
  const tokens = authenticate && createAgentTokens({ authenticate, clock, log, warnings, metrics, audit })
  const joining = createAgentJoining(
    options,
    { admission, refusals, tenants, standing, tokens, streams: deps },
    {
      draining: events.draining,
      refusing: events.refusing,
      gone: events.gone,
      connected(agent, http, certified) {
        certificates.connected(agent, http, certified)
        events.connected(agent)
      },
    },
  )
  const tls = createTlsListener({
    material: options.material,
    standing,
    protocol: options.protocol,
    // The first of ours that the other end names counts, and an agent names others beside that of enrolment when it is told to.
    alpn: [LANE_ALPN, ...(options.enrolment ? [ENROLMENT_ALPN] : []), 'h2'],
    handshakeTimeoutMs: options.handshakeTimeoutMs,
    halfOpen: false,
    connected,
    failed(why, error, source) {
      metrics.handshakeFailed('agent', why)
      refusals.noHandshake(why, source)
      log.debug({ err: error }, 'TLS handshake on the agent port failed')
    },
  })
  const gate = createHandshakeGate({
    perSecond: options.handshakesPerSecond,
    waitMs: options.handshakeTimeoutMs,
    clock,
    admit: tls.take,
    turnedAway(socket) {
      metrics.handshakeFailed('agent', 'too_many')
      refusals.noHandshake('too many', plainAddress(addressOf(socket)))
    },
  })

  function connected(socket: TLSSocket): void {
    socket.on('error', (error) => log.debug({ err: error }, 'agent connection error'))
    if (socket.alpnProtocol === LANE_ALPN) return lane(socket)
    if (socket.alpnProtocol === ENROLMENT_ALPN) return options.enrolment?.(socket, admission.peerOf(socket))
    const http = performServerHandshake(socket, {
      settings: {
        maxHeaderListSize: options.maxHeaderListBytes,
        ...(!authenticate && { initialWindowSize: STREAM_WINDOW_BYTES }),
      },
      maxSessionMemory: SESSION_MEMORY_MIB,
    })
    if (!authenticate) openSessionWindow(http)
    http.on('error', (error) => {
      log.debug({ err: error }, 'agent HTTP/2 error')
      if (streams > 0 || !isNoHttp2(error)) return // a stream that breaks with its connection says so itself
      metrics.agentRefused('malformed')
      refusals.hungUpOn(socket, 'no HTTP/2')
    })
    const deadline = clock.after(options.streamTimeoutMs, () => {
      metrics.agentRefused('slow')
      refusals.hungUpOn(socket, 'no stream in time')
      http.destroy()
    })
    let streams = 0
    http.on('stream', (stream, { ':path': path, ':method': method }, _flags, headers) => {
      deadline[Symbol.dispose]()
      stream.on('error', (error) => log.debug({ err: error }, 'agent stream error'))
      const shown = takeShown({ socket, http, stream }, { path, method, rawHeaders: headers as unknown as string[] })
      if (shown === 'taken') return
      streams++
      if (streams > MAX_STREAMS) return hangUp(socket, http)
      if (shown === 'not-now') {
        stream.respond({ ':status': 429 })
        return void stream.end('', () => stream.close())
      }
      if (streams > 1) return refusals.refuse(stream, SECOND_STREAM)
      joining.join({ socket, http, stream }, { path, method, rawHeaders: headers as unknown as string[] })
    })
    http.on('close', () => deadline[Symbol.dispose]())
  }

  /** What an agent that is connected shows besides: a new certificate, or a new token. */
  function takeShown(
    { socket, http, stream }: AgentCall,
    { path, method, rawHeaders }: RequestHead,
  ): 'taken' | 'no-agent' | 'not-now' {
    if (path === NEW_CERTIFICATE_PATH) return certificates.take(socket, http, stream)
    if (path !== NEW_TOKEN_PATH || method !== 'POST' || !tokens) return 'no-agent'
    return tokens.take(http, stream, valuesOf(rawHeaders, 'authorization'))
  }

  function lane(socket: TLSSocket): void {
    const its = admission.ofSocket(socket)
    if (its.kind === 'refused') {
      admission.forbidden(its)
      refusals.hungUpOn(socket, `lane: client certificate not accepted: ${its.cause}`)
      return void socket.destroy()
    }
    takeLane(socket, its.principal, {
      tokens: deps.laneTokens,
      clock,
      helloTimeoutMs: options.streamTimeoutMs,
      refused(why) {
        metrics.laneRefused(why)
        refusals.hungUpOn(socket, `lane: ${why}`)
        log.debug({ why, remote: socket.remoteAddress }, 'lane refused')
      },
    })
  }

  function hangUp(socket: TLSSocket, http: ServerHttp2Session): void {
    if (http.destroyed) return // by an earlier stream that came in the same read
    metrics.agentRefused('second_stream')
    refusals.hungUpOn(socket, 'many streams on one connection')
    http.destroy()
  }

  return { renew: tls.renew, take: options.frontDoors?.(gate) ?? gate, close: joining.close }
}
