/**
 * Keeps the agent connected: each host is asked in its own time for as long as the set wants a server from it, so that none
 * waits for another; all links are drained at the end.
 */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import type { HostIndex, ServerSet } from './core/server-set.ts'
import type { Link, LinkEvents } from './link-owner.ts'
import type { AgentMetrics } from './metrics.ts'

/**
 * How long one attempt may be without an answer before its host is tried beside it: milliseconds. Behind a balancer another
 * server may answer while one is half dead.
 */
const PATIENCE_MS = 3_000
/** Attempts at one host without an answer. */
const MOST_UNANSWERED = 2

export type KeeperDeps = {
  readonly servers: ServerSet<Link>
  /** What the log calls them. */
  readonly hosts: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly metrics: Pick<AgentMetrics, 'connectFailed' | 'streamLost'>
  readonly open: (host: HostIndex, events: LinkEvents) => Link
}

export type ServerKeeper = {
  readonly start: () => void
  /** Asks for no new connections on every link; resolves when nothing is left on any of them. */
  readonly drain: () => Promise<void>
  /** Ends every link. */
  readonly stop: () => void
}

type Seeker = {
  readonly look: () => void
  readonly giveUp: (reason: string) => void
}

export function createServerKeeper({ servers, hosts, clock, log, random, metrics, open }: KeeperDeps): ServerKeeper {
  const warnings = createWarnings(log, clock, hosts.length)
  const seekers = hosts.map(createSeeker)
  let state: 'running' | 'draining' | 'stopped' = 'running'
  let drained = (): void => {}

  function createSeeker(name: string, host: HostIndex): Seeker {
    const unanswered = new Set<Link>()
    let timer: Disposable | undefined

    function look(): void {
      timer?.[Symbol.dispose]()
      timer = undefined
      if (state !== 'running' || unanswered.size >= MOST_UNANSWERED) return
      if (!servers.wants(host)) return lookLater()
      unanswered.add(open(host, events))
      lookLater(PATIENCE_MS)
    }

    /** The one look that is ahead: an earlier plan is dropped. */
    function lookLater(waitMs = servers.waitMs(host, random())): void {
      timer?.[Symbol.dispose]()
      timer = state === 'running' ? clock.after(waitMs, look) : undefined
    }

    function giveUpUnanswered(reason: string): void {
      const links = [...unanswered]
      unanswered.clear()
      for (const link of links) link.end(reason)
    }

    const events: LinkEvents = {
      connected(link, count) {
        unanswered.delete(link)
        if (state !== 'running') return link.end(state) // it answered while it was being ended
        warnings.forget(name)
        const outcome = servers.connected(host, link, count, clock.now())
        if (outcome === 'duplicate') link.end(`duplicate server: ${link.serverId}`)
        if (!servers.wants(host)) giveUpUnanswered('another server answered')
        lookLater()
      },
      gone(link, reason, wasConnected) {
        const wasUnanswered = unanswered.delete(link)
        const was = servers.gone(link, clock.now())
        if (state === 'running' && wasUnanswered && !wasConnected) {
          servers.failed(host)
          metrics.connectFailed()
          warnings.warn(name, { server: name, reason }, 'could not connect', reason)
        } else if (state === 'running' && was === 'held') {
          metrics.streamLost(link.endCode())
          log.warn({ server: name, server_id: link.serverId, reason }, 'disconnected')
        } else if (was === 'leaving') log.info({ server: name, server_id: link.serverId, reason }, 'disconnected')
        if (servers.all().length === 0) drained()
        if (wasUnanswered || was === 'held' || !timer) lookLater()
      },
      leaving(link, reconnectAfterMs) {
        const waitMs = servers.leaving(link, reconnectAfterMs, clock.now(), random())
        servers.overstayed()?.end('it said long ago that it goes away')
        if (waitMs !== undefined) lookLater(waitMs)
      },
      drained: (link) => link.finish(),
    }

    return {
      look,
      giveUp(reason) {
        timer?.[Symbol.dispose]()
        giveUpUnanswered(reason)
      },
    }
  }

  function giveUp(reason: 'draining' | 'stopped'): void {
    state = reason
    for (const seeker of seekers) seeker.giveUp(reason)
  }

  return {
    start() {
      for (const { look } of seekers) look()
    },
    drain() {
      giveUp('draining')
      return new Promise((resolve) => {
        drained = resolve
        if (servers.all().length === 0) resolve()
        for (const link of servers.all()) link.drain()
      })
    },
    stop() {
      giveUp('stopped')
      for (const link of servers.all()) link.end('stopped')
    },
  }
}
