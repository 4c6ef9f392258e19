/**
 * How a server ends: it is not ready any more and says so, serves whoever still comes, and closes when it has become quiet or
 * its time is up. Source: docs/protocol.md section 7, docs/adr/0011.
 */
import type { Server } from 'node:net'
import { type Clock, elapsed } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Shutdown } from '../platform/shutdown.ts'
import type { AgentListener } from './agent-listener.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { Dialing } from './dialing.ts'
import type { FrontendListener } from './frontend-listener.ts'

/** Between two looks at whether it is quiet: milliseconds. */
const LOOK_MS = 100
/** How long clients that were told to go may take to read that and hang up. As grpc-go's servers: milliseconds. */
const LINGER_MS = 1_000
/** Between two looks at whether they have: milliseconds. */
const LINGER_LOOK_MS = 10

export type DrainOptions = {
  /** Longest time for what is open to end. */
  readonly timeoutMs: number
  /** It is quiet when nothing is open and nobody has asked for anything for this long. */
  readonly quietMs: number
}

export type Draining = {
  readonly agents: AgentListener
  /** None: somebody else accepts, and hands nobody over any more. */
  readonly agentPort: Server | undefined
  readonly connected: () => readonly AgentStream[]
  readonly frontend: WatchedFrontend
  readonly lastDialMs: () => number
  /** For who does not accept clients itself: has nobody else sent here. Who came before that is still served. */
  readonly turnAway?: () => Promise<void>
}

export type DrainDeps = { readonly clock: Clock; readonly log: Log; readonly shutdown: Shutdown }

/**
 * Returns when the frontend is closed; what is still open then breaks with the server. When it was quiet nothing is: who was accepted
 * shortly before the port closed has the same quiet time to end its handshake and to ask, and is served. What a client may still send
 * at the very end is lost: one that is hung up on before it has read GOAWAY does not know that it may try again elsewhere.
 */
export async function drain(options: DrainOptions, deps: DrainDeps, server: Draining): Promise<void> {
  const { log, shutdown } = deps
  const { agents, agentPort, connected, frontend } = server
  agents.close()
  agentPort?.close()
  frontend.goAway()
  for (const { session } of connected()) session.goAway('shutdown', options.timeoutMs, 0)
  log.info({ signal: shutdown.drain.reason, open: frontend.count(), timeout_ms: options.timeoutMs }, 'shutting down')
  const endMs = deps.clock.now() + options.timeoutMs
  let why = await quietOrOver(options, deps, server)
  await server.turnAway?.()
  await frontend.close()
  if (why === 'quiet') {
    const lastDialMs = (): number => Math.max(server.lastDialMs(), frontend.lastTakenMs())
    why = await quietOrOver({ ...options, timeoutMs: Math.max(0, endMs - deps.clock.now()) }, deps, {
      ...server,
      lastDialMs,
    })
  }
  frontend.dismissIdle()
  log.info({ open: frontend.count(), why }, 'closed the frontend')
  if (why === 'quiet') await gone(frontend, deps)
}

async function gone(frontend: FrontendListener, { clock, shutdown }: DrainDeps): Promise<void> {
  const startMs = clock.now()
  while (frontend.leaving() > 0 && clock.now() - startMs < LINGER_MS && !shutdown.now.aborted) {
    await elapsed(clock, LINGER_LOOK_MS)
  }
}

type Why = 'quiet' | 'time is up' | 'second signal'

function quietOrOver({ timeoutMs, quietMs }: DrainOptions, deps: DrainDeps, server: Draining): Promise<Why> {
  const { clock, shutdown } = deps
  const { promise, resolve } = Promise.withResolvers<Why>()
  const timeUp = clock.after(timeoutMs, () => resolve('time is up'))
  const now = (): void => resolve('second signal')
  let next: Disposable | undefined

  function look(): void {
    const lastMs = Math.max(server.lastDialMs(), server.frontend.lastCallMs())
    if (!server.frontend.busy() && clock.now() - lastMs >= quietMs) resolve('quiet')
    else next = clock.after(LOOK_MS, look)
  }

  if (shutdown.now.aborted) now()
  shutdown.now.addEventListener('abort', now, { once: true })
  look()
  return promise.finally(() => {
    timeUp[Symbol.dispose]()
    next?.[Symbol.dispose]()
    shutdown.now.removeEventListener('abort', now)
  })
}

/** The same, and when it was last asked for a connection. */
export function watchDials(dialing: Dialing, clock: Clock): Dialing & { readonly lastMs: () => number } {
  let lastMs = Number.NEGATIVE_INFINITY
  return {
    dial(...dial) {
      lastMs = clock.now()
      return dialing.dial(...dial)
    },
    lastMs: () => lastMs,
  }
}

export type WatchedFrontend = FrontendListener & {
  /** When somebody was last accepted: `Clock.now`. */
  readonly lastTakenMs: () => number
}

/** The same, and when somebody last came, whether it has asked for anything or not. */
export function watchTaken(frontend: FrontendListener, clock: Clock): WatchedFrontend {
  let lastMs = Number.NEGATIVE_INFINITY
  const taken = (): void => {
    lastMs = clock.now()
  }
  frontend.server.on('connection', taken)
  return {
    ...frontend,
    take(...client) {
      taken()
      frontend.take(...client)
    },
    lastTakenMs: () => lastMs,
  }
}
