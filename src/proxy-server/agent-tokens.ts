/**
 * The tokens by which agents are connected, where those are reviewed again: who loses its own loses the connection, as by a certificate
 * that is no longer good (`standing.ts`), and who shows another one of the same user lives by that.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Audit } from '../audit/record.ts'
import type { TokenReviewer } from '../kubernetes/token-reviewer.ts'
import type { FollowToken } from '../kubernetes/token-watch.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Warnings } from '../platform/repeats.ts'
import { type TakeToken, tokenBucket } from '../platform/token-bucket.ts'
import type { CutOffCause, ServerMetrics } from './metrics.ts'
import { sourceOf } from './source.ts'

/** New tokens that are shown on one connection: so many at once and in this time. Each is a review. */
const MAX_SHOWN = 16
const SHOWN_PER_MS = 160_000
/** Longest wait of a cut-off for the review of another token that is under way: milliseconds. */
const LAST_CHANCE_MS = 2_000

/** An agent that is connected by a token. */
export type TokenAgent = {
  readonly socket: TLSSocket
  readonly http: ServerHttp2Session
  /** The user that TokenReview found. */
  readonly principal: string
  readonly cluster: string
  readonly agentId: string
}

export type AgentTokens = {
  /** From now on, until it is disposed. */
  readonly hold: (agent: TokenAgent, follow: FollowToken) => Disposable
  /** Why a connection was cut off, if it was. */
  readonly cause: (socket: TLSSocket) => CutOffCause | undefined
  /**
   * Takes over a stream on which another token is shown; or says why it does not.
   *
   * @param values of `authorization`, all that came
   */
  readonly take: (
    http: ServerHttp2Session,
    stream: ServerHttp2Stream,
    values: readonly string[],
  ) => 'taken' | 'no-agent' | 'not-now'
}

export type AgentTokensDeps = {
  readonly authenticate: TokenReviewer['review']
  readonly clock: Clock
  readonly log: Log
  readonly warnings: Warnings
  readonly metrics: Pick<ServerMetrics, 'cutOff'>
  readonly audit?: Audit | undefined
}

type Held = {
  readonly agent: TokenAgent
  readonly mayShow: TakeToken
  isShowing: boolean
  /** Of what it shows: over before the stream is, which the agent may leave open. */
  isUnderReview: boolean
  followed: Disposable | undefined
  /** Its token is lost while another one is under review. Disposing it saves the connection. */
  losing: (Disposable & { readonly now: () => void }) | undefined
}

export function createAgentTokens(deps: AgentTokensDeps): AgentTokens {
  const { authenticate, clock, log, warnings, metrics, audit } = deps
  const agents = new WeakMap<ServerHttp2Session, Held>()
  const causes = new WeakMap<TLSSocket, CutOffCause>()

  function cutOff(agent: TokenAgent, why: CutOffCause, reason: string): void {
    const { socket, principal, cluster, agentId } = agent
    if (causes.has(socket)) return
    causes.set(socket, why)
    const who = { cluster, principal, agent: agentId }
    log.warn({ port: 'agent', why, ...who, reason }, 'connection cut off: its token is no longer good')
    metrics.cutOff('agent', why)
    audit?.({ event: 'cut-off', ...who, source: sourceOf(socket), reason: `token ${why}` })
    socket.destroy()
  }

  const followFor = (held: Held, follow: FollowToken): Disposable =>
    follow((why, reason) => {
      const now = (): void => cutOff(held.agent, why, reason)
      if (!held.isUnderReview) return now()
      const timer = clock.after(LAST_CHANCE_MS, now)
      held.losing = { now, [Symbol.dispose]: () => timer[Symbol.dispose]() }
    })

  /** @returns why the agent does not live by this one, if it does not */
  async function exchange(held: Held, values: readonly string[], gone: AbortSignal): Promise<string | undefined> {
    const judgement = await authenticate(values, gone, 'connected')
    if (judgement.kind === 'refused') return judgement.text
    if (judgement.username !== held.agent.principal) return 'is of another user than the connection'
    const isOver = gone.aborted || agents.get(held.agent.http) !== held
    if (isOver || !judgement.follow) return 'is not taken'
    const before = held.followed
    held.followed = followFor(held, judgement.follow)
    before?.[Symbol.dispose]()
    held.losing?.[Symbol.dispose]()
    held.losing = undefined
    return undefined
  }

  async function show(held: Held, stream: ServerHttp2Stream, values: readonly string[]): Promise<void> {
    const gone = new AbortController()
    held.isShowing = true
    stream.once('close', () => {
      held.isShowing = false
      gone.abort()
    })
    stream.resume() // there is no body, and what there is of one is nobody's
    held.isUnderReview = true
    const problem = await exchange(held, values, gone.signal)
    held.isUnderReview = false
    held.losing?.now()
    const who = { agent: held.agent.agentId, remote: held.agent.socket.remoteAddress }
    if (problem === undefined) log.info(who, 'agent shows a new token')
    else if (!gone.signal.aborted) {
      warnings.warn(`token ${who.remote}`, { ...who, reason: problem }, 'agent shows a token that is no good')
    }
    if (stream.destroyed || stream.closed || stream.headersSent) return
    stream.respond({ ':status': problem === undefined ? 200 : 403 })
    stream.end(problem ?? '', () => stream.close())
  }

  return {
    hold(agent, follow) {
      const mayShow = tokenBucket(MAX_SHOWN, SHOWN_PER_MS)
      const idle = { isShowing: false, isUnderReview: false, followed: undefined, losing: undefined }
      const held: Held = { agent, mayShow, ...idle }
      held.followed = followFor(held, follow)
      agents.set(agent.http, held)
      return {
        [Symbol.dispose]() {
          agents.delete(agent.http)
          held.followed?.[Symbol.dispose]()
          held.losing?.[Symbol.dispose]()
          held.losing = undefined // a review that is under way finds nobody to cut off
        },
      }
    },
    cause: (socket) => causes.get(socket),
    take(http, stream, values) {
      const held = agents.get(http)
      if (!held) return 'no-agent'
      if (held.isShowing || !held.mayShow(clock.now())) return 'not-now'
      void show(held, stream, values)
      return 'taken'
    },
  }
}
