/**
 * The new certificates that connected agents show: each on a stream of its own beside the agent's, one at a time and not too
 * many. `shown-certificate.ts` judges one; from then on all connections of the agent live as long as it.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Warnings } from '../platform/repeats.ts'
import { type TakeToken, tokenBucket } from '../platform/token-bucket.ts'
import type { Certified } from './agent-joining.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import { takeShownCertificate } from './shown-certificate.ts'
import type { Standing } from './standing.ts'

/** New certificates that are shown on one connection: so many at once and in this time. Each may cost a search for its CA. */
const MAX_SHOWN = 16
const SHOWN_PER_MS = 160_000

export type AgentCertificates = {
  /** It is an agent's connection from now on. */
  readonly connected: (served: AgentStream, http: ServerHttp2Session, certified: Certified) => void
  /** Takes over a stream on which one is to be shown; or says why it does not. */
  readonly take: (
    socket: TLSSocket,
    http: ServerHttp2Session,
    stream: ServerHttp2Stream,
  ) => 'taken' | 'no-agent' | 'not-now'
}

export type AgentCertificatesDeps = {
  /** None: certificates have none here, and are not taken. */
  readonly standing: Standing | undefined
  readonly clock: Clock
  readonly log: Log
  readonly warnings: Warnings
}

/** Whose connection it is. */
type Admitted = {
  readonly served: AgentStream
  readonly certified: Certified
  readonly mayShow: TakeToken
  isShowing: boolean
}

export function createAgentCertificates(deps: AgentCertificatesDeps): AgentCertificates {
  const { standing, clock, log, warnings } = deps
  const agents = new WeakMap<ServerHttp2Session, Admitted>()

  /** In use: from now on its connections live as long as the new certificate. */
  function show(socket: TLSSocket, stream: ServerHttp2Stream, agent: Admitted, standing: Standing): void {
    agent.isShowing = true
    stream.once('close', () => {
      agent.isShowing = false
    })
    takeShownCertificate(stream, socket, {
      clock,
      standing,
      certified: agent.certified,
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

  return {
    connected(served, http, certified) {
      agents.set(http, { served, certified, isShowing: false, mayShow: tokenBucket(MAX_SHOWN, SHOWN_PER_MS) })
    },
    take(socket, http, stream) {
      const agent = agents.get(http)
      if (!agent) return 'no-agent'
      if (!standing || agent.isShowing || !agent.mayShow(clock.now())) return 'not-now'
      show(socket, stream, agent, standing)
      return 'taken'
    },
  }
}
