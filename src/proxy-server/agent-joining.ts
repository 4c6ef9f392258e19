/**
 * A call on the agent port on its way to being an agent: it passes what its headers must say, whose it is, and what its identity
 * and its cluster may hold, in this order, and is an agent then until it goes. Who does not pass is told why.
 * Source: docs/protocol.md sections 1 and 9.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { TokenReviewer } from '../kubernetes/token-reviewer.ts'
import type { FollowToken } from '../kubernetes/token-watch.ts'
import { EXTENSIONS_KEY } from '../tunnel/extensions.ts'
import { openSessionWindow, STREAM_WINDOW_BYTES } from '../tunnel/http2-windows.ts'
import type { AgentAdmission } from './agent-admission.ts'
import type { AgentRefusal, AgentRefusals } from './agent-refusals.ts'
import { serveAgentStream } from './agent-stream.ts'
import type { AgentStream, AgentStreamDeps, AgentStreamEvents, NewAgent } from './agent-stream-owner.ts'
import type { AgentTenants, Obstacle } from './agent-tenants.ts'
import type { AgentTokens } from './agent-tokens.ts'
import type { Admission, PeerCertificate } from './core/admission.ts'
import { noAgentCall, type RequestHead } from './core/agent-call.ts'
import { countIdentifiers } from './core/identifiers.ts'
import { createHoldings, type HoldingLimits } from './core/identity-holdings.ts'
import { readRegistration, valuesOf } from './core/registration.ts'
import type { Standing } from './standing.ts'

/** Longest id that is logged of an agent which nobody knows: characters. */
const MAX_SHOWN_CHARS = 100

export type AgentJoiningOptions = HoldingLimits & {
  readonly maxHeaderListBytes: number
  /**
   * Where agents show a token instead of a certificate: says whose it is. The values are those of `authorization`, all that
   * came; the signal is aborted when the agent goes away.
   */
  readonly authenticate?: TokenReviewer['review']
}

export type AgentJoiningDeps = {
  readonly admission: AgentAdmission
  readonly refusals: AgentRefusals
  /** On a server of many clusters. */
  readonly tenants: AgentTenants | undefined
  /** Of the certificates that connections were made with. */
  readonly standing: Standing | undefined
  /** Where agents show tokens. */
  readonly tokens: AgentTokens | undefined
  readonly streams: AgentStreamDeps
}

export type AgentJoiningEvents = AgentStreamEvents & {
  readonly connected: (agent: AgentStream, http: ServerHttp2Session, certified: Certified) => void
}

/** Who the certificate says it is that an agent's connection was made with; where agents show tokens they may say more. */
export type Certified = {
  readonly principal: string
  readonly cluster: string
  /** Who this one would say it is, on the same connection. */
  readonly by: (certificate: PeerCertificate) => Admission
}

/** The first stream of a connection. */
export type AgentCall = {
  readonly socket: TLSSocket
  readonly http: ServerHttp2Session
  readonly stream: ServerHttp2Stream
}

export type AgentJoining = {
  readonly join: (call: AgentCall, head: RequestHead) => void
  /** No new agents from now on: they are told UNAVAILABLE. */
  readonly close: () => void
}

export function createAgentJoining(
  options: AgentJoiningOptions,
  { admission, refusals, tenants, standing, tokens, streams: deps }: AgentJoiningDeps,
  events: AgentJoiningEvents,
): AgentJoining {
  const holdings = createHoldings(options)
  let open = true

  /** What is made here lives as long as the agent, and must not hold the headers. */
  function join(call: AgentCall, head: RequestHead): void {
    const { socket, stream } = call
    const { rawHeaders } = head
    const noCall = noAgentCall(head, options.maxHeaderListBytes)
    if (noCall) return turnAway(call, noCall)
    const peer = { ...admission.peerOf(socket) } // its texts: to read them anew for each agent takes its time
    const byCertificate = admission.ofPeer(peer)
    if (byCertificate.kind === 'refused') {
      admission.forbidden(byCertificate)
      const why = byCertificate.unmapped ? 'unmapped' : 'unauthenticated'
      const text = `client certificate not accepted: ${byCertificate.cause}`
      return turnAway(call, { why, status: 'UNAUTHENTICATED', text })
    }
    const registration = readRegistration(rawHeaders, EXTENSIONS_KEY)
    if (registration.kind === 'refused') {
      return turnAway(call, { why: 'metadata', status: 'UNKNOWN', text: registration.text })
    }
    const agent = {
      ...registration,
      cluster: byCertificate.cluster,
      certified: byCertificate.principal,
      remoteAddress: socket.remoteAddress ?? '',
    }
    const { principal, cluster } = byCertificate
    if (!options.authenticate) {
      const certified = { principal, cluster, by: admission.ofPeer }
      return admitAs(principal, call, agent, certified, () => admission.ofPeer(peer))
    }
    const gone = new AbortController()
    stream.once('close', () => gone.abort())
    void options.authenticate(valuesOf(rawHeaders, 'authorization'), gone.signal).then((judgement) => {
      if (stream.destroyed) return
      if (judgement.kind === 'refused') {
        return turnAway(call, { why: 'unauthenticated', status: 'UNKNOWN', text: judgement.text }, agent)
      }
      const { username } = judgement
      const ofUser = (by: PeerCertificate): Admission => tenants?.ofUser(username, by) ?? admission.ofPeer(by)
      const its = ofUser(peer)
      if (its.kind === 'admitted') {
        const by = (shown: PeerCertificate): Admission => {
          const user = ofUser(shown)
          return user.kind === 'refused' ? user : admission.ofPeer(shown)
        }
        const certified = { principal, cluster, by }
        const { follow } = judgement
        return admitAs(username, call, { ...agent, cluster: its.cluster }, certified, () => ofUser(peer), follow)
      }
      admission.forbidden(its)
      turnAway(call, { why: 'unmapped', status: 'UNAUTHENTICATED', text: its.cause }, agent)
    })
  }

  function admitAs(
    principal: string,
    call: AgentCall,
    agent: Omit<NewAgent, 'principal' | 'takesTokens'>,
    certified: Certified,
    now: () => Admission,
    follow?: FollowToken,
  ): void {
    const { socket, http, stream } = call
    if (!open) {
      return turnAway(call, { why: 'shutdown', status: 'UNAVAILABLE', text: 'the server is shutting down' })
    }
    const named = countIdentifiers(agent.identifiers)
    const over = holdings.over(principal, named)
    if (over !== undefined) return turnAway(call, { why: 'too_many', status: 'RESOURCE_EXHAUSTED', text: over })
    const obstacle = tenants?.obstacle({ ...agent, principal })
    if (obstacle) return meet(obstacle, call, agent)
    const letGo = holdings.hold(principal, named)
    if (options.authenticate) openWindows(http)
    const itsDeps = tenants?.depsOf(agent.cluster, deps) ?? deps
    let state: 'new' | 'known' | 'gone' = 'new'
    let leave: (() => void) | undefined
    let token: Disposable | undefined
    const newAgent = { ...agent, principal, takesTokens: follow !== undefined }
    const served = serveAgentStream(http, stream, newAgent, itsDeps, {
      draining: events.draining,
      laneJoined: (lane) => standing?.follow(lane, socket),
      cutOff: () => standing?.cause(socket) ?? tokens?.cause(socket),
      refusing: events.refusing,
      gone(leaving, how) {
        letGo()
        leave?.()
        token?.[Symbol.dispose]()
        if (state === 'known') events.gone(leaving, how)
        state = 'gone'
      },
    })
    if (hasGone()) return // what it is sent at its beginning may already be too much for the budget
    leave = tenants?.join(served, principal, now)
    token = follow && tokens?.hold({ socket, http, principal, cluster: agent.cluster, agentId: agent.agentId }, follow)
    state = 'known'
    events.connected(served, http, certified)
    served.tellReplicas()
    served.pushPolicy() // behind all the rest: it may be what ends the stream

    function hasGone(): boolean {
      return state === 'gone'
    }
  }

  function meet({ later, ...refusal }: Obstacle, call: AgentCall, agent: { readonly agentId: string }): void {
    const { socket, http, stream } = call
    if (later === undefined) return turnAway(call, refusal, agent)
    if (later === 'hang-up') {
      refusals.hungUpOn(socket, refusal.text)
      return http.destroy()
    }
    const wait = deps.clock.after(later.afterMs, () => {
      stream.off('close', gone)
      later.isOver()
      turnAway(call, refusal, agent)
    })
    const gone = (): void => {
      wait[Symbol.dispose]()
      later.isOver()
    }
    stream.once('close', gone)
  }

  /** @param agent whose id, as it calls itself, is told with it */
  function turnAway({ http, stream }: AgentCall, refusal: AgentRefusal, agent?: { readonly agentId: string }): void {
    refusals.refuse(stream, refusal, agent && { agent: agent.agentId.slice(0, MAX_SHOWN_CHARS) })
    refusals.lastWords(http)
  }

  return {
    join,
    close() {
      open = false
    },
  }
}

/** Who has shown who it is may send as fast as its path allows; nobody else can have us hold more than HTTP/2's least. */
function openWindows(http: ServerHttp2Session): void {
  http.settings({ initialWindowSize: STREAM_WINDOW_BYTES })
  openSessionWindow(http)
}
