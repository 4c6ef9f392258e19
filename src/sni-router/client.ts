/**
 * The life of one client: its ClientHello is read within a deadline and within bounds, a route is chosen, a backend is dialled,
 * both are joined. Everything it does not pass ends with an answer, where there is one, and with a count.
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Ends } from '../platform/address-range.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { readProxyHeader } from '../platform/proxy-header.ts'
import { reset } from '../tunnel/endpoint.ts'
import type { ClientAudit } from './audited.ts'
import type { Backends, Member } from './backends.ts'
import type { Connect } from './connecting.ts'
import type { ClientHello } from './core/client-hello.ts'
import type { Limits, Route } from './core/config.ts'
import { growingBytes } from './core/growing-bytes.ts'
import { helloReader, type Sniff } from './core/hello-reader.ts'
import { proxyHeader } from './core/proxy-header-out.ts'
import { faultAnswer, type Unroutable, unroutableAnswer } from './core/refusal.ts'
import type { Chosen } from './core/routes.ts'
import { startDial } from './dialing.ts'
import type { Refusal, RouterMetrics, RouteTally } from './metrics.ts'
import { askIfThere, type Splice, type SpliceEnd, splice } from './splice.ts'

/**
 * Bytes of a client, its ClientHello among them, with which it is read no more while a backend is dialled. The read that brings them may bring
 * more, and one that is under way comes besides: 64 KiB each.
 */
const MAX_EARLY_BYTES = 16_384
/** How long a client may take to read why it was refused and to hang up: milliseconds. What it sends meanwhile is dropped. */
const LINGER_MS = 1_000

export type ClientState = 'hello' | 'dialing' | 'joined' | 'answered' | 'closed'
export type Client = {
  readonly state: () => ClientState
  /** Hangs up. Joined clients count the end as that of `how`. */
  readonly cut: (why: Refusal, how: SpliceEnd) => void
  /** To be called every few seconds. */
  readonly look: (nowMs: number, limits: Limits) => void
}
export type ClientDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: RouterMetrics
  readonly audit?: ClientAudit | undefined
  readonly backends: Backends
  readonly connect: Connect
  /** As the configuration has them at this moment. */
  readonly limits: () => Limits
  readonly choose: (hello: ClientHello) => Chosen<Route>
  readonly tally: (route: Route) => RouteTally
  readonly missed: (route: Route, member: Member, why: string, error: Error | undefined) => void
  /** A limit is reached. @param what it limits */
  readonly limited: (what: string, limit: number) => void
  /** A PROXY header says that it comes from there. @returns whether that source may have one more */
  readonly sourced: (client: Client, ip: string) => boolean
  /** It waits for no ClientHello any more. */
  readonly decided: (client: Client) => void
  readonly closed: (client: Client) => void
}

/** @param expectsHeader whether the connection begins with a PROXY header */
export function serveClient(socket: Socket, expectsHeader: boolean, deps: ClientDeps): Client {
  const { clock, metrics } = deps
  const startMs = clock.now()
  const limits = deps.limits()
  let sniff: ((piece: Uint8Array) => Sniff) | undefined = helloReader() // holds what it has read: let go of once it has answered
  let ends = endsOf(socket)
  let held = growingBytes()
  let awaitsHeader = expectsHeader
  let state: ClientState = 'hello'
  let timer: Disposable | undefined = clock.after(limits.helloTimeoutMs, () => refuse('slow'))
  let dial: Disposable | undefined
  let joined: Splice | undefined
  let leaveRoute = nothing
  let asked: string | undefined

  const client: Client = {
    state: () => state,
    cut(why, how) {
      if (joined) return joined.breakOff(how)
      count(why)
      decide('answered')
      reset(socket)
    },
    look(nowMs, limits) {
      if (joined) joined.look(nowMs, limits)
      else if (state === 'dialing') askIfThere(socket)
    },
  }

  function data(bytes: Buffer): void {
    if (state === 'answered') return
    held.add(bytes)
    if (state === 'dialing') restrain()
    else if (awaitsHeader) readHeader()
    else readHello(bytes)
  }

  function restrain(): void {
    if (held.length() > MAX_EARLY_BYTES) socket.pause()
  }

  function readHeader(): void {
    const header = readProxyHeader(held.view())
    if (header.kind === 'more') return
    if (header.kind === 'refused') return refuse('no-proxy-header', undefined, header.why)
    const rest = held.view().subarray(header.bytes)
    held = growingBytes()
    held.add(rest)
    awaitsHeader = false
    ends = header.ends ?? ends
    if (!deps.sourced(client, ends.source.ip)) return refuse('source-full')
    if (rest.length > 0) readHello(rest)
  }

  function readHello(bytes: Buffer): void {
    const found = sniff?.(bytes)
    if (found === undefined || found.kind === 'more') return
    if (found.kind === 'refused') return refuse(found.fault, faultAnswer(found.fault, found.alert), found.why)
    metrics.helloRead(clock.now() - startMs)
    asked = found.hello.name
    seekRoute(found.hello)
  }

  function seekRoute(hello: ClientHello): void {
    const chosen = deps.choose(hello)
    if (chosen.kind !== 'route') return turnAway(chosen.kind)
    const { route } = chosen
    const tally = deps.tally(route)
    if (tally.open >= route.maxConnections) {
      deps.limited(`route ${route.name}`, route.maxConnections)
      return turnAway('route-full')
    }
    const { pendingDialsPerRoute } = deps.limits()
    if (tally.dialing >= pendingDialsPerRoute) {
      deps.limited(`pendingDialsPerRoute of ${route.name}`, pendingDialsPerRoute)
      return turnAway('dials-full')
    }
    enter(hello, route, tally)
  }

  function enter(hello: ClientHello, route: Route, tally: RouteTally): void {
    const sinceMs = clock.now()
    tally.open++
    tally.dialing++
    leaveRoute = () => {
      leaveRoute = nothing
      if (!joined) tally.dialing--
      tally.open--
    }
    decide('dialing')
    restrain()
    dial = startDial(
      {
        targets: route.backends,
        limits,
        read: (bytes) => joined?.received(bytes),
        connected(backend, member) {
          metrics.dialed(clock.now() - sinceMs)
          join(backend, member, route, tally)
        },
        failed(why) {
          if (why === 'no-backend' && isOutdated(hello, route)) {
            leaveRoute()
            return seekRoute(hello)
          }
          if (why === 'no-backend' || why === 'deadline') tally.misses[why]++ // who was asked is counted already
          turnAway('no-backend')
        },
        missed(member, why, error) {
          tally.misses[why]++
          deps.missed(route, member, why, error)
        },
      },
      deps,
    )
  }

  /** A reload may take away the name that a client waits for. */
  function isOutdated(hello: ClientHello, route: Route): boolean {
    const now = deps.choose(hello)
    return now.kind !== 'route' || now.route !== route
  }

  function join(backend: Socket, member: Member, route: Route, tally: RouteTally): void {
    state = 'joined'
    socket.off('data', data).off('end', left).off('error', left).off('close', closed)
    backend.once('close', () => void member.active--)
    const header = proxyHeader(route.proxyProtocol, ends)
    const bytes = held.view()
    tally.bytes.fromClients += bytes.length
    backend.write(header.length > 0 ? Buffer.concat([header, bytes]) : bytes)
    held = growingBytes()
    tally.dialing--
    const told = deps.audit?.joined({ source: ends.source, asked, route: route.name, backend: member.shown })
    joined = splice(socket, backend, tally.bytes, clock.now(), (how) => {
      tally.ends[how]++
      told?.(how)
      closed()
    })
  }

  function turnAway(why: Unroutable): void {
    refuse(why, unroutableAnswer(why))
  }

  /** Without an answer it is reset, so that what it has sent is not taken for received. */
  function refuse(why: Refusal, answer?: Buffer, detail?: string): void {
    deps.log.debug({ why, detail, ip: ends.source.ip }, 'refused a client')
    count(why)
    decide('answered')
    leaveRoute() // who only reads its answer takes no room there
    held = growingBytes()
    if (answer === undefined) return reset(socket)
    socket.end(answer)
    socket.resume() // bytes left unread would turn the end into a reset, which overtakes the answer
    timer = clock.after(LINGER_MS, () => socket.destroy())
  }

  function count(why: Refusal): void {
    if (state === 'answered') return
    metrics.refused(why)
    deps.audit?.refused(why, ends.source, asked)
  }

  function decide(next: ClientState): void {
    if (state === 'hello') deps.decided(client)
    sniff = undefined
    state = next
    timer?.[Symbol.dispose]()
    dial?.[Symbol.dispose]()
    timer = undefined
  }

  function left(): void {
    if (state === 'answered') return // it has its answer; the rest is the socket's own end
    count('left')
    decide('answered')
    socket.destroy()
  }

  function closed(): void {
    decide('closed')
    leaveRoute()
    deps.closed(client)
  }

  socket.on('data', data)
  socket.on('end', left)
  socket.on('error', left)
  socket.on('close', closed)
  return client
}

const nothing = (): void => {}

function endsOf({ remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 }: Socket): Ends {
  return { source: { ip: remoteAddress, port: remotePort }, destination: { ip: localAddress, port: localPort } }
}
