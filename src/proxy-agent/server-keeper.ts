/**
 * Keeps the agent connected: each host is asked in its own time for as long as the set wants a server from it, so that none
 * waits for another; so is each replica that servers list. All links are drained at the end, and one whose replica is listed
 * no more when all others are held.
 */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { MAX_LISTED_STREAMS } from '../tunnel/server-list.ts'
import { hostPort } from './core/go-errors.ts'
import type { Place, ReplicaLists } from './core/replica-lists.ts'
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
  readonly lists: ReplicaLists<Link>
  /** What the log calls them. */
  readonly hosts: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly metrics: Pick<AgentMetrics, 'connectFailed' | 'streamLost'>
  /** @param place a replica that a server of the host has listed; none: the host itself */
  readonly open: (host: HostIndex, events: LinkEvents, place?: Place) => Link
}

export type ServerKeeper = {
  readonly start: () => void
  /** Asks for no new connections on every link; resolves when nothing is left on any of them. */
  readonly drain: () => Promise<void>
  /** Ends every link. */
  readonly stop: () => void
}

/**
 * By which agents that are told of a new replica in the same moment are spread, while they hold others, and the ways of two hosts to one
 * replica from each other: milliseconds.
 */
const NEWS_SPREAD_MS = 1_000
/** Replicas that are warned of at a time, besides the hosts. */
const MAX_WARNED_PLACES = 500
/** How long a balancer may lead to servers that are held, while others are sought, before that is worth a warning: milliseconds. */
const IN_VAIN_MS = 60_000
const IN_VAIN =
  'only a server that is held answers, and more are said to be there: has each proxy-server a --server-id of its own, and do the hosts lead to all of them?'

const FOREIGN = 'replica is at another address than the hosts: see --follow-replica-addresses'
const OVER_MANY = `replica is one too many for an agent, which holds ${MAX_LISTED_STREAMS} streams at most`

type Seeker = {
  readonly look: () => void
  readonly lookLater: (waitMs: number) => void
  /** For good. */
  readonly giveUp: (reason: string) => void
}

/** A replica that is sought, by what it is reached by. */
type Sought = {
  readonly name: string
  readonly host: HostIndex
  readonly seeker: Seeker
  readonly update: (place: Place) => void
}

export function createServerKeeper(deps: KeeperDeps): ServerKeeper {
  const { servers, lists, hosts, clock, log, random, metrics, open } = deps
  const warnings = createWarnings(log, clock, hosts.length + MAX_WARNED_PLACES)
  const seekers = hosts.map((name, host) => createSeeker(name, host, (events) => open(host, events)))
  const places = hosts.map(() => new Map<string, Sought>())
  let state: 'running' | 'draining' | 'stopped' = 'running'
  let drained = (): void => {}
  let inVainSinceMs: number | undefined // only servers that are held have answered since, though others are wanted

  /** Seeks what the servers of a host list, and no more what they do not. */
  function follow(origin: HostIndex, isFirst: boolean): void {
    const { places: wanted, foreign, overMany } = lists.wanted(origin)
    const sought = places[origin]!
    const spreadMs = isFirst && sought.size === 0 ? 0 : NEWS_SPREAD_MS
    servers.listPartly(origin, foreign.length + overMany.length > 0)
    for (const [key, { name, host, seeker }] of sought) {
      if (wanted.has(key)) continue
      sought.delete(key)
      servers.removePlace(host)
      seeker.giveUp('it is listed no more')
      log.info({ server: name }, 'replica is listed no more')
    }
    for (const [key, place] of wanted) {
      const known = sought.get(key)
      if (known) known.update(place)
      else sought.set(key, seek(place, spreadMs * random()))
    }
    for (const address of foreign) warnings.warn(address, { address }, FOREIGN)
    for (const replica of overMany) warnings.warn(replica, { replica }, OVER_MANY)
  }

  /** Goes by the lists of these hosts, and of those that lead to a server which is held as well: what it tells counts there too. */
  function heed(changed: readonly HostIndex[]): void {
    for (let [origins, isFirst] = [new Set(changed), true]; ; isFirst = false) {
      for (const origin of origins) follow(origin, isFirst)
      origins = new Set(
        servers.all().flatMap((link) => servers.originsOf(link).filter((at) => lists.reached(at, link))),
      )
      if (origins.size === 0) break
    }
    leaveSurplus()
  }

  function seek(first: Place, waitMs: number): Sought {
    const name = hostPort(first.serverName, first.address.port)
    let place = first
    const host = servers.addPlace(first)
    const seeker = createSeeker(name, host, (events) => open(first.origin, events, place))
    log.info({ server: name, replica: first.id, workers: first.workers }, 'replica is listed')
    if (waitMs > 0) seeker.lookLater(waitMs)
    else seeker.look()
    return {
      name,
      host,
      seeker,
      update(next) {
        place = next
        servers.changePlace(host, next)
      },
    }
  }

  /** Who is of no listed replica goes when all of those are held: make before break. */
  function leaveSurplus(): void {
    if (state !== 'running') return
    for (let link = servers.surplus(lists.mayLeave); link; link = servers.surplus(lists.mayLeave)) {
      log.info({ server_id: link.serverId }, 'leaves a server that is of no listed replica')
      servers.dismiss(link)
      link.drain()
      heed(lists.forget(link))
    }
  }

  /** Two servers of one name look like one that answers again and again. */
  function answered(server: string, link: Link, outcome: 'kept' | 'duplicate'): void {
    const held = servers.all().filter(servers.holds).length
    const expected = servers.knownCount()
    if (outcome === 'kept' || held >= expected) {
      inVainSinceMs = undefined
      return
    }
    inVainSinceMs ??= clock.now()
    if (clock.now() - inVainSinceMs < IN_VAIN_MS) return
    const { serverId } = link
    warnings.warn(`held ${serverId}`, { server, server_id: serverId, held, expected }, IN_VAIN)
  }

  function createSeeker(name: string, host: HostIndex, connect: (events: LinkEvents) => Link): Seeker {
    const unanswered = new Set<Link>()
    let timer: Disposable | undefined
    let isOver = false

    function look(): void {
      timer?.[Symbol.dispose]()
      timer = undefined
      if (state !== 'running' || unanswered.size >= MOST_UNANSWERED) return
      if (!servers.wants(host)) return lookLater()
      unanswered.add(connect(events))
      lookLater(PATIENCE_MS)
    }

    /** The one look that is ahead: an earlier plan is dropped. */
    function lookLater(waitMs = servers.waitMs(host, random())): void {
      timer?.[Symbol.dispose]()
      timer = state === 'running' && !isOver ? clock.after(waitMs, look) : undefined
    }

    function giveUpUnanswered(reason: string): void {
      const links = [...unanswered]
      unanswered.clear()
      for (const link of links) link.end(reason)
    }

    const events: LinkEvents = {
      connected(link, count, extensions) {
        unanswered.delete(link)
        if (state !== 'running') return link.end(state) // it answered while it was being ended
        warnings.forget(name)
        const outcome = servers.connected(host, link, count, clock.now())
        answered(name, link, outcome)
        if (outcome === 'duplicate') link.end(`duplicate server: ${link.serverId}`)
        else log.info({ server: name, server_id: link.serverId, extensions }, 'connected') // before whom it replaces is left
        if (!servers.wants(host)) giveUpUnanswered('another server answered')
        heed(outcome === 'kept' && !link.lists() ? lists.told(link, 'none') : [])
        lookLater()
      },
      gone(link, reason, wasConnected) {
        const wasUnanswered = unanswered.delete(link)
        const was = servers.gone(link, clock.now())
        forget(link)
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
        forget(link)
        servers.overstayed()?.end('it said long ago that it goes away')
        if (waitMs !== undefined) lookLater(waitMs)
      },
      drained: (link) => link.finish(),
      listed(link, list) {
        if (state === 'running' && servers.holds(link)) heed(lists.told(link, list))
      },
    }

    function forget(link: Link): void {
      const origins = lists.forget(link)
      if (state === 'running' && origins.length > 0) heed(origins)
    }

    return {
      look,
      lookLater,
      giveUp(reason) {
        isOver = true
        timer?.[Symbol.dispose]()
        giveUpUnanswered(reason)
      },
    }
  }

  function giveUp(reason: 'draining' | 'stopped'): void {
    state = reason
    for (const seeker of seekers) seeker.giveUp(reason)
    for (const sought of places) for (const { seeker } of sought.values()) seeker.giveUp(reason)
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
