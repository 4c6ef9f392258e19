/**
 * Those whom the agent port turns away: each is told why, counted, audited, and warned of once in a while and not each time that
 * it comes back.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Warnings } from '../platform/repeats.ts'
import type { GrpcStatus } from './core/grpc-status.ts'
import { refuseStream } from './grpc-refusal.ts'
import type { ServerMetrics } from './metrics.ts'
import { plainAddress } from './source.ts'
import { noHandshake } from './strangers.ts'

/** Lets an answer reach an agent that is refused before the connection ends: milliseconds. */
const REFUSAL_GRACE_MS = 1_000

export type AgentRefusal = {
  readonly why: Parameters<ServerMetrics['agentRefused']>[0]
  readonly status: GrpcStatus
  readonly text: string
}

export type AgentRefusals = {
  /** Answers a call; what else there is on its connection stays. @param who as it calls itself, where it may be shown */
  readonly refuse: (stream: ServerHttp2Stream, refusal: AgentRefusal, who?: { readonly agent?: string }) => void
  /** Nothing more comes of this connection: it ends when the answer on it has had the time to arrive. */
  readonly lastWords: (http: ServerHttp2Session) => void
  /** Notes that a connection is ended without an answer. */
  readonly hungUpOn: (socket: TLSSocket, reason: string) => void
  /** Notes that one came to nothing before anybody was known by it. */
  readonly noHandshake: (why: 'failed' | 'slow' | 'too many', source: string | undefined) => void
}

export type AgentRefusalsDeps = {
  readonly clock: Clock
  readonly warnings: Warnings
  readonly metrics: Pick<ServerMetrics, 'agentRefused'>
  readonly audit?: Audit | undefined
  /** For those of whom there may be any number. */
  readonly auditOften?: Audit | undefined
  /** Told of each that is answered. */
  readonly refused:
    | ((source: string | undefined, agent: string | undefined, why: string, reason: string) => void)
    | undefined
}

/** Why somebody is refused who may have no credential at all, and so costs no line of the audit log each time. */
const OF_STRANGERS: ReadonlySet<AgentRefusal['why']> = new Set([
  'unauthenticated',
  'metadata',
  'malformed',
  'unknown_method',
  'encoding',
  'slow',
  'second_stream',
])

export function createAgentRefusals(deps: AgentRefusalsDeps): AgentRefusals {
  const { clock, warnings, metrics, audit, auditOften } = deps
  return {
    refuse(stream, { why, status, text }, who = {}) {
      metrics.agentRefused(why)
      const remote = stream.session?.socket?.remoteAddress
      const tell = OF_STRANGERS.has(why) ? auditOften : audit
      tell?.({ event: 'agent', source: plainAddress(remote), ...who, verdict: 'refused', reason: text })
      deps.refused?.(plainAddress(remote), who.agent, why, text)
      warnings.warn(`${why} ${remote}`, { why, reason: text, remote, ...who }, 'agent refused')
      refuseStream(stream, status, text)
    },
    lastWords(http) {
      http.close()
      clock.after(REFUSAL_GRACE_MS, () => http.destroy())
    },
    hungUpOn(socket, reason) {
      auditOften?.({ event: 'agent', source: plainAddress(socket.remoteAddress), verdict: 'refused', reason })
    },
    noHandshake(why, source) {
      auditOften?.(noHandshake('agent', why, source))
    },
  }
}
