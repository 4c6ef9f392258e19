/**
 * Has clients of the frontend wait whose handshakes come to nothing, on a server of many clusters: their next connections begin their
 * handshakes one after the other, or are hung up on. What is told and counted of them is here, who they are in core/penalty-box.ts.
 */
import type { Socket } from 'node:net'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import { sourceOf } from '../platform/ip-address.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import type { Admission } from './core/admission.ts'
import { createPenaltyBox, MAX_VAIN, VAIN_PER_SECOND } from './core/penalty-box.ts'
import type { Take } from './front-doors.ts'
import type { ServerMetrics } from './metrics.ts'
import { addressOf, plainAddress } from './source.ts'
import { noHandshake } from './strangers.ts'

/** Longest wait for a turn: milliseconds. Who has had none by then is hung up on. */
export const LONGEST_TURN_MS = 5_000
/** That wait for a turn of one owner; others are hung up on at once: each is a descriptor that all clusters share. */
export const MAX_HELD = 200
/** Between two turns of an owner: milliseconds. */
const TURN_MS = 1_000 / VAIN_PER_SECOND
/** Owners that are remembered, so as to warn of each once in a while. */
const MAX_WARNED = 1_000

type Admitted = Extract<Admission, { readonly kind: 'admitted' }>

export type Penalty = {
  /** Takes accepted connections of which nothing has been read. */
  readonly gate: (take: Take) => Take
  /** A client has shown who it is. @param address none: it came by a Unix socket, without a handshake */
  readonly came: (address: string | undefined, who: Admitted) => void
  /** It is gone, no dial was made for it, and it did not wait to be told why not. */
  readonly vain: (who: Admitted) => void
  /** A handshake came to no end. */
  readonly failed: (address: string | undefined) => void
}

export type PenaltyDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'handshakeFailed'>
  /** For those of whom there may be any number. */
  readonly auditOften?: Audit | undefined
}

/** The clients of a cluster owe together; the holder of a user certificate alone, who may be of several. */
const ownerOf = ({ cluster, principal }: Admitted): string =>
  principal.startsWith('user/') ? principal : `cluster/${cluster}`

export function createPenalty({ clock, log, metrics, auditOften }: PenaltyDeps): Penalty {
  const box = createPenaltyBox()
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const queues = new Map<string, Set<Socket>>() // who waits, in the order of arrival, by owner; each has a turn to come

  function owes(owner: string): void {
    const text = `more than ${MAX_VAIN} of its handshakes came to nothing: those from its address wait, ${VAIN_PER_SECOND} begin in a second`
    warnings.warn(owner, { owner }, text)
  }

  function turnAway(socket: Socket): void {
    metrics.handshakeFailed('frontend', 'too_many')
    auditOften?.(noHandshake('frontend', 'too many', plainAddress(addressOf(socket))))
    socket.destroy()
  }

  function wait(socket: Socket, owner: string, take: Take): void {
    const queue = queues.get(owner) ?? begin(owner, take)
    if (queue.size >= MAX_HELD) return turnAway(socket)
    queue.add(socket)
    const late = clock.after(LONGEST_TURN_MS, () => {
      if (queue.delete(socket)) turnAway(socket)
    })
    socket.on('error', nothing) // for good: a worker's is read from as it comes, and hears of a reset while it waits
    socket.once('close', () => {
      late[Symbol.dispose]()
      queue.delete(socket)
    })
  }

  function begin(owner: string, take: Take): Set<Socket> {
    const queue = new Set<Socket>()
    queues.set(owner, queue)
    clock.after(TURN_MS, () => nextTurn(owner, queue, take))
    return queue
  }

  function nextTurn(owner: string, queue: Set<Socket>, take: Take): void {
    const [next] = queue
    if (next) {
      queue.delete(next)
      take(next)
    }
    if (queue.size === 0) queues.delete(owner)
    else clock.after(TURN_MS, () => nextTurn(owner, queue, take))
  }

  return {
    gate: (take) => (socket) => {
      const address = addressOf(socket)
      const owner = address === undefined ? undefined : box.debtor(sourceOf(address), clock.now())
      if (owner === undefined) take(socket)
      else wait(socket, owner, take)
    },
    came(address, who) {
      if (address !== undefined) box.came(sourceOf(address), ownerOf(who))
    },
    vain(who) {
      const owner = ownerOf(who)
      if (box.vain(owner, clock.now())) owes(owner)
    },
    failed(address) {
      const owner = address === undefined ? undefined : box.brokeOff(sourceOf(address), clock.now())
      if (owner !== undefined) owes(owner)
    },
  }
}

const nothing = (): void => {}
