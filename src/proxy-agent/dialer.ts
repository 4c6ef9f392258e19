/**
 * Connects to a target inside the agent's cluster: resolves its name once, has each address judged, and dials the addresses
 * that were judged, a little apart (RFC 8305 section 5). The first to connect wins.
 */

import type { LookupAddress } from 'node:dns'
import { connect, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { type Clock, systemClock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import { keepAlive } from '../platform/keep-alive.ts'
import type { DialTarget, RefusedDial } from './core/gate.ts'
import {
  addressErrorText,
  connectErrorText,
  hostPort,
  lookupErrorText,
  lookupTimeoutText,
  namingProtocol,
  timeoutText,
} from './core/go-errors.ts'
import { isOfFamily, NO_ADDRESS, type RefusedTarget, readTarget, type Target } from './core/target.ts'
import type { Lookup } from './lookups.ts'

export type DialRequest = {
  readonly protocol: string
  /** host:port as a DIAL_REQ has it. */
  readonly address: string
  /** Longest wait, name resolution included. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Reads the socket through this instead of 'data' events. Never called before the socket is resumed. */
  readonly onread?: OnReadOpts
}

export type Dialed = {
  /**
   * Connected, paused and without listeners; the caller's from now on. Nothing has been read from it: what the target says
   * first waits in the kernel until `resume()`.
   */
  readonly socket: Socket
  /** The address that was dialled, such as "10.0.0.1:443". */
  readonly address: string
}

/** What a dial needs of the machine, so that tests can stand in for it. */
export type Network = {
  readonly clock: Clock
  readonly lookup: Lookup
  readonly connect: (options: TcpNetConnectOpts) => Socket
}

/** Why a dial was refused without a try. */
export type WhyRefused = RefusedDial['why'] | RefusedTarget['why']

/** Says why a target is refused, before its name is resolved and for each address. */
export type Judge = (target: DialTarget) => RefusedDial | undefined

export const systemNetwork = (lookup: Lookup): Network => ({ clock: systemClock, lookup, connect })

const STAGGER_MS = 250
const MAX_ADDRESSES = 16 // of one name

/**
 * Until the promise settles, `signal` ends the dial at once and closes every socket of it; afterwards it means nothing here.
 *
 * @throws TunnelError `dial-refused` for what is not dialled, with why as its cause, else `dial-failed`; the message is Go's
 * wording, made for DIAL_RSP.error
 */
export function dial(request: DialRequest, network: Network, judge: Judge): Promise<Dialed> {
  const target = readTarget(request.protocol, request.address)
  if (target.kind === 'refused') return Promise.reject(refusal(target.text, request.protocol, target.why))
  const { kind, host, port } = target
  const refused = judge(kind === 'name' ? { name: host, port } : { address: host, port })
  if (refused) return Promise.reject(refusal(refused.text, request.protocol, refused.why))
  return new Promise((resolve, reject) => race(target, request, network, judge, resolve, reject))
}

function race(
  target: Target,
  { protocol, timeoutMs, signal, onread }: DialRequest,
  { clock, lookup, connect }: Network,
  judge: Judge,
  resolve: (dialed: Dialed) => void,
  reject: (reason: TunnelError) => void,
): void {
  const { host, port, family } = target
  const attempts = new Map<Socket, string>()
  let untried: string[] = []
  let firstFailure: { readonly address: string; readonly error: Error } | undefined
  let stagger: Disposable | undefined
  let ended = false
  let lookedUp: AbortController | undefined // aborting costs more than the rest of a dial: only where there is a name

  const deadline = clock.after(timeoutMs, giveUp)
  signal.addEventListener('abort', cancel)
  if (signal.aborted) cancel()
  else if (target.kind === 'address') tryAll([host])
  else lookUp()

  function end(): void {
    ended = true
    lookedUp?.abort()
    deadline[Symbol.dispose]()
    stagger?.[Symbol.dispose]()
    signal.removeEventListener('abort', cancel)
    for (const socket of attempts.keys()) socket.destroy()
  }

  function fail(text: string, cause?: unknown): void {
    end()
    reject(failure(text, protocol, cause))
  }

  function giveUp(): void {
    const [waitedFor] = attempts.values()
    fail(waitedFor === undefined ? lookupTimeoutText(host) : timeoutText(waitedFor))
  }

  function cancel(): void {
    fail(`dial tcp ${hostPort(host, port)}: operation was canceled`, signal.reason)
  }

  function lookUp(): void {
    lookedUp = new AbortController()
    lookup(host, lookedUp.signal).then(tryResolved, (error) => fail(lookupErrorText(host, error), error))
  }

  function tryResolved(found: readonly LookupAddress[]): void {
    if (ended) return // a resolver's answer to a dial that is over
    const addresses = interleaved(found).filter((address) => isOfFamily(address, family))
    if (addresses.length === 0 && found.length > 0) return fail(addressErrorText(host, NO_ADDRESS))
    const tried = addresses.slice(0, MAX_ADDRESSES)
    const refusals = tried.map((address) => judge({ name: host, address, port }))
    const allowed = tried.filter((_, index) => refusals[index] === undefined)
    if (allowed.length > 0) tryAll(allowed)
    else if (refusals[0] !== undefined) {
      end()
      reject(refusal(refusals[0].text, protocol, refusals[0].why))
    } else fail(lookupErrorText(host, { code: 'ENOTFOUND' }))
  }

  function tryAll(addresses: readonly string[]): void {
    untried = [...addresses]
    tryNext()
  }

  function tryNext(): void {
    stagger?.[Symbol.dispose]()
    const ip = untried.shift()
    if (ip === undefined) return
    const address = hostPort(ip, port)
    const socket = connect({
      host: ip,
      port,
      allowHalfOpen: true,
      noDelay: true,
      ...(onread && { onread }),
    })
    keepAlive(socket)
    attempts.set(socket, address)
    socket.on('error', failed)
    socket.once('connect', () => {
      socket.pause() // before Node starts to read, which it does when this event is over
      socket.off('error', failed)
      attempts.delete(socket)
      end()
      resolve({ socket, address })
    })
    if (untried.length > 0) stagger = clock.after(STAGGER_MS, tryNext)

    function failed(error: Error): void {
      if (ended) return
      attempts.delete(socket)
      firstFailure ??= { address, error }
      if (untried.length > 0) tryNext()
      else if (attempts.size === 0) fail(connectErrorText(firstFailure.address, firstFailure.error), firstFailure.error)
    }
  }
}

const refusal = (text: string, protocol: string, why: WhyRefused): TunnelError =>
  new TunnelError('dial-refused', namingProtocol(text, protocol), { cause: why })

function failure(text: string, protocol: string, cause?: unknown): TunnelError {
  return new TunnelError('dial-failed', namingProtocol(text, protocol), { cause })
}

/** In the resolver's order, but one family after the other in turn, so that a dead family costs one wait only. */
function interleaved(found: readonly LookupAddress[]): string[] {
  const first = found.filter(({ family }) => family === found[0]?.family)
  const second = found.filter(({ family }) => family !== found[0]?.family)
  return Array.from({ length: Math.max(first.length, second.length) }, (_, index) => [first[index], second[index]])
    .flat()
    .flatMap((entry) => (entry === undefined ? [] : [entry.address]))
}
