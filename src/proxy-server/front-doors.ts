/**
 * Connections that front doors pass on begin with a PROXY header: who comes is then who it says, at the handshake gate, in the
 * audit log and in the fleet. It is read from the addresses that were given only, exactly one, and never guessed.
 */
import type { Socket } from 'node:net'
import type { Audit } from '../audit/record.ts'
import { isWithin, type Range, readRange } from '../platform/address-range.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { readProxyHeader } from '../platform/proxy-header.ts'
import { createWarnings } from '../platform/repeats.ts'
import type { Port, ServerMetrics } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import { beganWithHeader, comesFrom, plainAddress } from './source.ts'
import { noProxyHeader } from './strangers.ts'

/** Connections of front doors whose headers have not come; of more, the one that has waited longest is hung up on: a door sends it at once. */
export const MAX_WITHOUT_HEADER = 1_000
/** Front doors that are remembered, so as to warn of each once in a while. */
const MAX_WARNED = 100

/** Takes an accepted connection of which nothing has been read. */
export type Take = (socket: Socket) => void
/** Takes those of front doors as well. */
export type BehindFrontDoors = (take: Take) => Take

export type FrontDoorsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'handshakeFailed'>
  /** For those of whom there may be any number. */
  readonly auditOften?: Audit | undefined
}

/** @returns for each port; nothing where no front doors are named */
export function openFrontDoors(
  { proxyProtocolFrom, tlsHandshakeTimeoutMs }: Pick<ServerOptions, 'proxyProtocolFrom' | 'tlsHandshakeTimeoutMs'>,
  deps: FrontDoorsDeps,
): (port: Port) => BehindFrontDoors | undefined {
  const ranges = proxyProtocolFrom.flatMap((text) => readRange(text) ?? [])
  return (port) => (ranges.length > 0 ? createFrontDoors(port, ranges, tlsHandshakeTimeoutMs, deps) : undefined)
}

function createFrontDoors(
  port: Port,
  ranges: readonly Range[],
  timeoutMs: number,
  { clock, log, metrics, auditOften }: FrontDoorsDeps,
): BehindFrontDoors {
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const waiting = new Set<(why: string) => void>() // in the order in which they came

  function refuse(socket: Socket, why: string): void {
    const source = plainAddress(socket.remoteAddress)
    metrics.handshakeFailed(port, 'proxy_header')
    auditOften?.(noProxyHeader(port, why, source))
    warnings.warn(
      source ?? '',
      { port, source, reason: why },
      'no PROXY header from an address of --proxy-protocol-from',
    )
    socket.destroy()
  }

  function readHeader(socket: Socket, take: Take): void {
    const deadline = clock.after(timeoutMs, () => giveUp('slow'))
    let held = Buffer.alloc(0)
    waiting.add(giveUp)

    function over(then: () => void): void {
      deadline[Symbol.dispose]()
      socket.off('readable', read).off('close', gone)
      waiting.delete(giveUp)
      then()
    }
    function giveUp(why: string): void {
      over(() => refuse(socket, why))
    }
    function gone(): void {
      if (held.length > 0) giveUp('it ended in its header')
      else over(nothing) // such as a check of the front door: nobody is refused
    }
    function read(): void {
      const bytes: Buffer | null = socket.read()
      if (bytes === null) return
      held = Buffer.concat([held, bytes])
      const header = readProxyHeader(held)
      if (header.kind === 'more') return
      if (header.kind === 'refused') return giveUp(header.why)
      if (header.ends) comesFrom(socket, header.ends.source)
      beganWithHeader(socket, header.bytes)
      over(() => {
        if (held.length > header.bytes) socket.unshift(held.subarray(header.bytes))
        take(socket)
      })
    }
    socket.on('error', nothing) // for good: it has been read from, so it hears of a reset while it waits for its handshake
    socket.on('readable', read).on('close', gone)
  }

  return (take) => (socket) => {
    const address = socket.remoteAddress?.replace(/%.*$/, '') ?? '' // Node gives link-local peers with their zone
    if (!isWithin(address, ranges)) return take(socket)
    const [oldest] = waiting
    if (waiting.size >= MAX_WITHOUT_HEADER) oldest?.('too many without one')
    readHeader(socket, take)
  }
}

const nothing = (): void => {}
