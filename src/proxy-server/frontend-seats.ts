/**
 * Places for the clients of each cluster on the frontend of a server of many: as many as its limit says, and a few more that are told
 * so. Who is of another cluster when the clusters have changed, or of none, is cut off.
 */
import type { Socket } from 'node:net'
import type { Audit, AuditRecord } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Admission } from './core/admission.ts'
import { clientOver, MAX_TOLD, type OverLimit, sessionOver, type Tenant } from './core/tenant.ts'
import type { UnreadBytes } from './core/unread.ts'
import type { Penalty } from './frontend-penalty.ts'
import { plainAddress } from './source.ts'
import type { Tenants } from './tenants.ts'

/** Whoever was admitted a moment ago has no limits then, and gets nothing. */
const REMOVED = 'its cluster has just been removed'

type Admitted = Extract<Admission, { readonly kind: 'admitted' }>

/** A client that has its cluster, and more than that may have. @property afterMs when it is to be told: milliseconds from now */
export type Full = { readonly kind: 'full'; readonly afterMs: number } & OverLimit

export type Seat<Deps> = {
  readonly admission: Admission | Full
  readonly deps: Deps
  /** It is gone. @param wasOfUse a dial was made for it, or it waited to be told why not */
  readonly leave: (wasOfUse: boolean) => void
}

/** Why there is none for a call. */
export type NoSeat = {
  readonly text: string
  /**
   * It is to be told so that much later, in milliseconds; the caller says when it has been, or is gone. None: at once. It is reset instead
   * where too many wait.
   */
  readonly later?: { readonly afterMs: number; readonly isOver: () => void } | 'reset'
}

export type Seats<Deps> = {
  /**
   * @param what it takes up
   * @param cutOff breaks it; called when it is of this cluster no longer
   * @returns undefined: too many are being told already, this one is hung up on after a while
   */
  readonly take: (
    socket: Socket,
    admission: Admission,
    what: 'clients' | 'sessions',
    cutOff: () => void,
  ) => Seat<Deps> | undefined
  /** A call on a session that has a seat; the caller says when it is gone. */
  readonly call: (cluster: string, principal: string) => NoSeat | { readonly leave: () => void }
}

export type SeatDeps = {
  readonly unread: UnreadBytes
  readonly clock: Clock
  readonly auditOften?: Audit | undefined
  readonly penalty?: Pick<Penalty, 'vain'> | undefined
}

/** Clients of one cluster that wait to be hung up on without a word. Others are at once: each is a descriptor that all clusters share. */
export const MAX_SILENT = 1_000

/** @param again what the admission of a client would be now */
export function createSeats<Deps extends SeatDeps>(
  tenants: Pick<Tenants, 'get' | 'refused' | 'onChange'>,
  deps: Deps,
  again: (socket: Socket) => Admission,
): Seats<Deps> {
  const members = new Map<Socket, { readonly admission: Admitted; readonly cutOff: () => void }>()
  const depsOf = new WeakMap<Tenant, Deps>()
  const silentOf = new WeakMap<Tenant, number>()

  tenants.onChange(() => {
    for (const [socket, { admission, cutOff }] of members) {
      const now = again(socket)
      // By what else it is known, and so its name for us, may change; who it is cannot, on one connection.
      if (now.kind !== 'admitted' || now.cluster !== admission.cluster) cutOff()
    }
  })

  /** @param vain calls that when nothing makes it wait */
  function hangUpLater(tenant: Tenant, socket: Socket, afterMs: number, vain: () => void): undefined {
    const silent = silentOf.get(tenant) ?? 0
    if (silent >= MAX_SILENT) {
      vain()
      return void socket.destroy()
    }
    silentOf.set(tenant, silent + 1)
    socket.on('error', () => undefined)
    socket.once('end', () => socket.destroy()).resume()
    let hasWaited = false
    const later = deps.clock.after(afterMs, () => {
      hasWaited = true
      socket.destroy()
    })
    socket.once('close', () => {
      if (!hasWaited) vain()
      later[Symbol.dispose]()
      silentOf.set(tenant, (silentOf.get(tenant) ?? 0) - 1)
    })
  }

  function tell(who: Omit<AuditRecord, 'event'>, { text }: OverLimit): void {
    deps.auditOften?.({ event: 'frontend', ...who, verdict: 'refused', reason: text })
  }

  function depsFor(tenant: Tenant): Deps {
    const own = depsOf.get(tenant) ?? { ...deps, unread: tenant.unread }
    depsOf.set(tenant, own)
    return own
  }

  return {
    take(socket, admission, what, cutOff) {
      const tenant = admission.kind === 'admitted' ? tenants.get(admission.cluster) : undefined
      if (admission.kind !== 'admitted') return { admission, deps, leave: () => undefined }
      if (!tenant)
        return { admission: { kind: 'refused', cause: REMOVED, unmapped: true }, deps, leave: () => undefined }
      const address = socket.remoteAddress // none of who came by a Unix socket, without a handshake
      const vain = (): void => deps.penalty?.vain(admission.cluster, address)
      const over = what === 'clients' ? clientOver(tenant) : sessionOver(tenant)
      if (over) {
        tenants.refused(tenant.id, over.limit)
        const { cluster, principal } = admission
        tell({ cluster, principal, source: plainAddress(socket.remoteAddress) }, over)
      }
      const afterMs = over ? tenant.nextRefusal(deps.clock.now()) : 0
      if (over && tenant.told >= MAX_TOLD) return hangUpLater(tenant, socket, afterMs, vain)
      const counted = over ? 'told' : what
      tenant[counted]++
      members.set(socket, { admission, cutOff })
      return {
        admission: over ? { kind: 'full', afterMs, ...over } : admission,
        deps: depsFor(tenant),
        leave(wasOfUse) {
          tenant[counted]--
          members.delete(socket)
          if (!wasOfUse) vain()
        },
      }
    },
    call(cluster, principal) {
      const tenant = tenants.get(cluster)
      if (!tenant) return { text: REMOVED }
      const over = clientOver(tenant)
      if (over) {
        tenants.refused(cluster, over.limit)
        tell({ cluster, principal }, over)
        if (tenant.told >= MAX_TOLD) return { text: over.text, later: 'reset' }
        tenant.told++
        const afterMs = tenant.nextRefusal(deps.clock.now())
        return { text: over.text, later: { afterMs, isOver: () => void tenant.told-- } }
      }
      tenant.clients++
      return {
        leave() {
          tenant.clients--
        },
      }
    },
  }
}
