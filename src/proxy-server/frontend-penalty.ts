/**
 * Has clients of the frontend wait of whose cluster too many handshakes came to nothing: connections from where its clients alone come
 * (`frontends.addresses`) begin their handshakes one after the other, or are hung up on. Source: docs/tenancy.md, docs/adr/0039.
 */
import type { Socket } from 'node:net'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { createPenaltyBox, MAX_VAIN, VAIN_PER_SECOND } from './core/penalty-box.ts'
import type { Take } from './front-doors.ts'
import type { ServerMetrics } from './metrics.ts'
import { addressOf, plainAddress } from './source.ts'
import { noHandshake } from './strangers.ts'
import type { Tenants } from './tenants.ts'

/**
 * Longest wait for a turn: milliseconds. Who has had none by then is hung up on: a connection that is not read does not show whether its
 * client has given up, and who has waited for long has.
 */
export const LONGEST_TURN_MS = 2_500
/** That wait for turns of one cluster; others are hung up on at once: each is a descriptor that all clusters share. */
export const MAX_HELD = 200
/** Between two turns of a cluster: milliseconds. */
const TURN_MS = 1_000 / VAIN_PER_SECOND
/** Clusters that are remembered, so as to warn of each once in a while. */
const MAX_WARNED = 1_000

export type Penalty = {
  /** Takes accepted connections of which nothing has been read. */
  readonly gate: (take: Take) => Take
  /** A client of the cluster had something dialled. */
  readonly ofUse: (cluster: string) => void
  /** A client is gone, nothing was dialled for it, and it did not wait to be told why not. @param address where it came from */
  readonly vain: (cluster: string, address: string | undefined) => void
  /** A connection is gone that had begun its handshake and not finished it. */
  readonly brokeOff: (raw: Socket) => void
}

export type PenaltyDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'handshakeFailed'>
  readonly tenants: Pick<Tenants, 'directory' | 'onChange'>
  /** For those of whom there may be any number. */
  readonly auditOften?: Audit | undefined
}

export function createPenalty({ clock, log, metrics, tenants, auditOften }: PenaltyDeps): Penalty {
  const box = createPenaltyBox()
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const queues = new Map<string, Set<Socket>>() // who waits, in the order of arrival, by cluster; each has a turn to come
  const haveWaited = new WeakSet<Socket>()
  tenants.onChange(() => box.keep((cluster) => tenants.directory().get(cluster) !== undefined))

  const clusterAt = (address: string | undefined): string | undefined =>
    address === undefined ? undefined : tenants.directory().byAddress(address)

  function inVain(cluster: string): void {
    if (!box.vain(cluster, clock.now())) return
    const text = `${MAX_VAIN} handshakes of its clients came to nothing: the next ones from its addresses wait, ${VAIN_PER_SECOND} begin in a second`
    warnings.warn(cluster, { cluster }, text)
  }

  function turnAway(socket: Socket): void {
    metrics.handshakeFailed('frontend', 'too_many')
    auditOften?.(noHandshake('frontend', 'too many', plainAddress(addressOf(socket))))
    socket.destroy()
  }

  function wait(socket: Socket, cluster: string, take: Take): void {
    const queue = queues.get(cluster) ?? begin(cluster, take)
    if (queue.size >= MAX_HELD) return turnAway(socket)
    queue.add(socket)
    haveWaited.add(socket)
    const late = clock.after(LONGEST_TURN_MS, () => {
      if (queue.delete(socket)) turnAway(socket)
    })
    socket.on('error', nothing) // for good: a worker's is read from as it comes, and hears of a reset while it waits
    socket.once('close', () => {
      late[Symbol.dispose]()
      queue.delete(socket)
    })
  }

  function begin(cluster: string, take: Take): Set<Socket> {
    const queue = new Set<Socket>()
    queues.set(cluster, queue)
    clock.after(TURN_MS, () => nextTurn(cluster, queue, take))
    return queue
  }

  function nextTurn(cluster: string, queue: Set<Socket>, take: Take): void {
    const [next] = queue
    if (next) {
      queue.delete(next)
      take(next)
    }
    if (queue.size === 0) queues.delete(cluster)
    else clock.after(TURN_MS, () => nextTurn(cluster, queue, take))
  }

  return {
    gate: (take) => (socket) => {
      const cluster = box.isEmpty() ? undefined : clusterAt(addressOf(socket))
      if (cluster !== undefined && box.owes(cluster, clock.now())) wait(socket, cluster, take)
      else take(socket)
    },
    ofUse: (cluster) => box.ofUse(cluster, clock.now()),
    vain(cluster, address) {
      if (clusterAt(address) === cluster) inVain(cluster)
    },
    brokeOff(raw) {
      const cluster = haveWaited.has(raw) ? undefined : clusterAt(addressOf(raw)) // who has waited may have given up
      if (cluster !== undefined) inVain(cluster)
    },
  }
}

const nothing = (): void => {}
