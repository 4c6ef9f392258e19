/** Keeps the agent connected: opens links while the set wants one, waits in between, and drains them all at the end. */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { ServerSet } from './core/server-set.ts'
import type { Link, LinkEvents } from './link.ts'
import type { AgentMetrics } from './metrics.ts'

export type KeeperDeps = {
  readonly servers: ServerSet<Link>
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly metrics: Pick<AgentMetrics, 'connectFailed' | 'streamLost'>
  readonly open: (events: LinkEvents) => Link
}

export type ServerKeeper = {
  readonly start: () => void
  /** Asks for no new connections on every link; resolves when nothing is left on any of them. */
  readonly drain: () => Promise<void>
  /** Ends every link. */
  readonly stop: () => void
}

export function createServerKeeper({ servers, clock, log, random, metrics, open }: KeeperDeps): ServerKeeper {
  let state: 'running' | 'draining' | 'stopped' = 'running'
  let opening: Link | undefined
  let timer: Disposable | undefined
  let drained = (): void => {}

  function look(): void {
    timer?.[Symbol.dispose]()
    timer = undefined
    if (state !== 'running' || opening) return
    if (servers.wants()) opening = open(events)
    else lookLater()
  }

  /** The one look that is ahead: an earlier plan is dropped. */
  function lookLater(waitMs = servers.waitMs(random())): void {
    timer?.[Symbol.dispose]()
    timer = state === 'running' ? clock.after(waitMs, look) : undefined
  }

  const events: LinkEvents = {
    connected(link, count) {
      opening = undefined
      if (state !== 'running') return link.end(state) // it answered while it was being ended
      if (servers.connected(link, count) === 'duplicate') link.end(`duplicate server: ${link.serverId}`)
      lookLater()
    },
    gone(link, reason, wasConnected) {
      if (link === opening) opening = undefined
      if (wasConnected) {
        if (state === 'running' && servers.all().includes(link)) {
          metrics.streamLost()
          log.warn({ server_id: link.serverId, reason }, 'disconnected')
        }
        servers.gone(link)
      } else if (state === 'running') {
        metrics.connectFailed()
        servers.failed()
        log.warn({ reason }, 'could not connect')
      }
      if (servers.all().length === 0) drained()
      lookLater()
    },
    leaving(link, reconnectAfterMs) {
      const waitMs = servers.leaving(link, reconnectAfterMs)
      if (waitMs !== undefined) lookLater(waitMs)
    },
    drained: (link) => link.finish(),
  }

  return {
    start: look,
    drain() {
      state = 'draining'
      timer?.[Symbol.dispose]()
      opening?.end('draining')
      return new Promise((resolve) => {
        drained = resolve
        if (servers.all().length === 0) resolve()
        for (const link of servers.all()) link.drain()
      })
    },
    stop() {
      state = 'stopped'
      timer?.[Symbol.dispose]()
      opening?.end('stopped')
      for (const link of servers.all()) link.end('stopped')
    },
  }
}
