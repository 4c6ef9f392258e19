/**
 * Hosts, servers behind them, and the agent's keeper between them, in time that a seed moves: servers stop, freeze, lie and
 * come back, streams break, in half of the worlds servers list replicas that come and go, and after every step what must always hold is checked.
 */
import { createReplicaLists, type Place } from '../../../src/proxy-agent/core/replica-lists.ts'
import { createServerSet } from '../../../src/proxy-agent/core/server-set.ts'
import type { Link, LinkEvents } from '../../../src/proxy-agent/link-owner.ts'
import { createServerKeeper } from '../../../src/proxy-agent/server-keeper.ts'
import { manualClock } from '../../platform/manual-clock.ts'
import { createRandom, type Random } from '../../platform/random.ts'
import { recordedLog } from '../../platform/recorded-log.ts'
import { createListings, type Listings } from './listings.ts'

const BASE_MS = 1_000
const CAP_MS = 10_000
/** As a link's own deadline, which ends it without an answer. */
const CONNECT_TIMEOUT_MS = 10_000
const STEP_MS = 100
const STORM_STEPS = 600
/** After the storm everybody who can be reached is to be found within this. */
const CALM_MS = 300_000
/** Last part of the calm, in which nobody is asked who is held. */
const QUIET_MS = 60_000
/** From the answer of a server, or from what it has heard, to what it lists: milliseconds. */
const LISTED_MS = 300
const MOST_UNANSWERED = 2
/** A host that is wanted is asked at least this often: the longest wait comes after the longest attempt. */
const PATIENCE_MS = CONNECT_TIMEOUT_MS + CAP_MS * 1.1 + 2 * STEP_MS

/** What a server does with those who connect: serves, refuses, says nothing, drops them soon, or sends them away at once. */
const HABITS = ['serves', 'refuses', 'silent', 'drops', 'leaves'] as const
type Habit = (typeof HABITS)[number]

type ModelServer = { readonly id: string; habit: Habit }
type Attempt = {
  readonly link: Link & { serverId: string }
  readonly host: number
  /** Of the replica that it asks for. */
  readonly name: string | undefined
  readonly events: LinkEvents
  readonly server: ModelServer | undefined
  answerAtMs: number
  listAtMs: number
  state: 'asking' | 'up' | 'leaving' | 'over'
  /** The keeper has told it to end. */
  told: boolean
  endAtMs: number
}

type World = {
  readonly random: Random
  readonly servers: readonly ModelServer[]
  /** Which servers are behind each host. */
  readonly behind: readonly (readonly ModelServer[])[]
  readonly count: number
  /** None: no server knows of replicas. */
  readonly listings: Listings<ModelServer> | undefined
}

function createWorld(seed: number): World {
  const random = createRandom(seed)
  const servers = Array.from(
    { length: 1 + random.below(5) },
    (_, index): ModelServer => ({ id: `s-${index}`, habit: 'serves' }),
  )
  const listings = random.chance(50) ? createListings(servers, random) : undefined
  const hosts = 1 + random.below(listings ? 2 : 4)
  const behind = Array.from({ length: hosts }, () => servers.filter(() => random.chance(60)))
  const reachable = new Set(behind.flat()).size
  return { random, servers, behind, listings, count: random.chance(50) ? reachable : random.below(servers.length + 2) }
}

/** @throws Error that names the seed and what did not hold */
export function runWorld(seed: number): void {
  const { random, servers, behind, count, listings } = createWorld(seed)
  const clock = manualClock()
  const attempts = new Set<Attempt>() // until they are over
  const lastAskedMs = behind.map(() => 0)

  const set = createServerSet<Link>({ hosts: behind.length, baseMs: BASE_MS, capMs: CAP_MS })
  const keeper = createServerKeeper({
    servers: set,
    lists: createReplicaLists({ hosts: behind.map((_, host) => ({ host: `host-${host}`, port: 1 })), follows: false }),
    hosts: behind.map((_, host) => `host-${host}:1`),
    clock,
    log: recordedLog(),
    random: random.fraction,
    metrics: { connectFailed: () => undefined, streamLost: () => undefined },
    open,
  })

  function fail(what: string): never {
    throw new Error(`seed ${seed} at ${clock.now()} ms: ${what}`)
  }

  function open(host: number, events: LinkEvents, place?: Place): Link {
    const name = place?.serverName
    const led = name === undefined ? behind[host]! : listings!.named(name)
    const there = led.filter(({ habit }) => habit !== 'refuses' || random.chance(50)) // a balancer notices late
    const server = there.length > 0 ? random.pick(there) : undefined
    const link = {
      serverId: '',
      session: () => undefined,
      lists: () => listings !== undefined,
      endCode: () => 'Unavailable' as const,
      drain: () => {
        attempt.state = 'leaving'
        const isLong = random.chance(20) // as long as a tunnel through it is open
        if (!isLong) attempt.endAtMs = Math.min(attempt.endAtMs, clock.now() + random.below(30_000))
      },
      showCertificate: () => undefined,
      showToken: () => undefined,
      finish: () => undefined,
      end: (_reason: string) => {
        attempt.told = true
        if (attempt.state !== 'over') attempt.endAtMs = Math.min(attempt.endAtMs, clock.now() + random.below(500))
      },
    }
    const attempt: Attempt = {
      link,
      host,
      name,
      events,
      server,
      answerAtMs: clock.now() + random.below(400),
      listAtMs: Number.POSITIVE_INFINITY,
      state: 'asking',
      told: false,
      endAtMs: clock.now() + CONNECT_TIMEOUT_MS,
    }
    attempts.add(attempt)
    if (name === undefined) lastAskedMs[host] = clock.now()
    opened.push({ atMs: clock.now(), host, name })
    const asking = [...attempts].filter(
      (other) =>
        other.host === host &&
        other.name === name &&
        other.state === 'asking' &&
        !other.told &&
        other.endAtMs > clock.now(),
    )
    if (asking.length > MOST_UNANSWERED)
      fail(`${name ?? 'the host'} at ${host} is asked ${asking.length} times at once`)
    return link
  }

  function end(attempt: Attempt, reason: string): void {
    const wasConnected = attempt.state === 'up' || attempt.state === 'leaving'
    attempt.state = 'over'
    attempts.delete(attempt)
    attempt.events.gone(attempt.link, reason, wasConnected)
  }

  function answer(attempt: Attempt): void {
    const { server } = attempt
    if (!server || server.habit === 'refuses') return end(attempt, 'refused')
    if (server.habit === 'silent') {
      attempt.answerAtMs = Number.POSITIVE_INFINITY
      return
    }
    attempt.link.serverId = server.id
    attempt.state = 'up'
    attempt.endAtMs = Number.POSITIVE_INFINITY
    attempt.listAtMs = clock.now() + random.below(LISTED_MS)
    attempt.events.connected(attempt.link, count, [])
    if (server.habit === 'drops') attempt.endAtMs = Math.min(attempt.endAtMs, clock.now() + random.below(2_000))
    if (server.habit === 'leaves' && attempt.state === 'up') leave(attempt)
  }

  function leave(attempt: Attempt): void {
    attempt.state = 'leaving'
    attempt.events.leaving(attempt.link, random.chance(20) ? random.below(20_000) : 0)
    attempt.endAtMs = Math.min(attempt.endAtMs, clock.now() + random.below(30_000))
  }

  /** Something happens to somebody. */
  function disturb(): void {
    if (listings && random.chance(20)) return listings.change(clock.now())
    const server = random.pick(servers)
    const up = [...attempts].filter(({ state }) => state === 'up')
    switch (random.below(4)) {
      case 0:
        server.habit = random.pick(HABITS)
        return
      case 1:
        server.habit = 'serves'
        return
      case 2:
        if (up.length > 0) end(random.pick(up), 'the stream broke')
        return
      default:
        if (up.length > 0) leave(random.pick(up))
    }
  }

  function step(): void {
    clock.advance(STEP_MS)
    const heard = new Set(listings?.hear(clock.now()))
    for (const attempt of [...attempts]) {
      if (attempt.state === 'asking' && !attempt.told && attempt.answerAtMs <= clock.now()) answer(attempt)
      if (heard.has(attempt.server!))
        attempt.listAtMs = Math.min(attempt.listAtMs, clock.now() + random.below(LISTED_MS))
      if (listings && (attempt.state === 'up' || attempt.state === 'leaving') && attempt.listAtMs <= clock.now()) {
        attempt.listAtMs = Number.POSITIVE_INFINITY
        attempt.events.listed(attempt.link, listings.listOf(attempt.server!))
      }
      if (attempt.state !== 'over' && attempt.endAtMs <= clock.now()) end(attempt, 'its end')
    }
    check()
  }

  function check(): void {
    const all = new Set<Link>(set.all())
    const up = [...attempts].filter(({ state }) => state === 'up' || state === 'leaving')
    for (const { link, told } of up) if (!told && !all.has(link)) fail(`${link.serverId} is connected and nobody knows`)
    if (up.filter(({ link }) => all.has(link)).length < all.size) fail('one is held that is gone')
    const ids = up.filter(({ state, link }) => state === 'up' && all.has(link)).map(({ link }) => link.serverId)
    if (new Set(ids).size < ids.length) fail(`held twice: ${ids}`)
    for (const [host, askedMs] of lastAskedMs.entries()) {
      wantedFor[host] = set.wants(host) ? wantedFor[host]! + STEP_MS : 0
      if (Math.min(clock.now() - askedMs, wantedFor[host]!) > PATIENCE_MS) fail(`host ${host} starves`)
    }
  }

  const opened: { readonly atMs: number; readonly host: number; readonly name: string | undefined }[] = []
  const wantedFor = behind.map(() => 0)
  keeper.start()
  for (let steps = 0; steps < STORM_STEPS; steps++) {
    if (random.chance(5)) disturb()
    step()
  }
  for (const server of servers) server.habit = random.chance(75) ? 'serves' : random.pick(['refuses', 'silent'])
  for (let ms = 0; ms < CALM_MS; ms += STEP_MS) step()
  if (listings) checkListed(listings)
  else checkFound()

  /**
   * Each listed server that is up is held; when all are, each other one is left, and nobody is asked. A host that leads to nobody is asked on,
   * and so is whom its servers listed at last; so are the workers of a replica while one of them does not answer.
   */
  function checkListed({ isListed, named }: Listings<ModelServer>): void {
    const isUp = behind.map((all) => all.some(({ habit }) => habit === 'serves'))
    if (!isUp.includes(true)) return
    const held = new Set(
      set
        .all()
        .filter(set.holds)
        .map(({ serverId }) => serverId),
    )
    const missing = servers.filter((server) => isListed(server) && !held.has(server.id))
    for (const { id, habit } of missing) if (habit === 'serves') fail(`${id} is listed and not held: ${[...held]}`)
    const others = servers.filter((server) => held.has(server.id) && !isListed(server))
    const allAnswer = servers.every((server) => !isListed(server) || server.habit === 'serves')
    if (allAnswer && !isUp.includes(false) && others.length > 0) {
      fail(`${others.map(({ id }) => id)} is held and not listed`)
    }
    for (const { atMs, host, name } of opened) {
      if (atMs < clock.now() - QUIET_MS || !isUp[host]) continue
      const mayBeSought = (server: ModelServer): boolean =>
        isListed(server) && (server.habit !== 'serves' || !held.has(server.id))
      if (name === undefined || !named(name).some(mayBeSought)) {
        fail(`${name ?? `host ${host}`} is asked at ${atMs} ms, and ${[...held]} is held`)
      }
    }
  }

  /** From each host somebody, and as many in all as there are said to be, or all that can be reached. */
  function checkFound(): void {
    const held = new Set(set.all().map(({ serverId }) => serverId))
    const there = behind.map((all) => all.filter(({ id, habit }) => habit === 'serves' || held.has(id)))
    for (const [host, some] of there.entries()) {
      if (some.length > 0 && !some.some(({ id }) => held.has(id)))
        fail(`nobody from host ${host} is held: ${[...held]}`)
    }
    const wanted = Math.min(set.knownCount(), new Set(there.flat()).size)
    if (held.size < wanted) fail(`holds ${[...held]} and wants ${wanted}`)
  }
}
