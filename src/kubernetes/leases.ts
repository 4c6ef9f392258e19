/** Leases in one namespace of an API server. Source: coordination.k8s.io/v1. */
import type { ApiClient } from './api-client.ts'
import { ApiError, refusalBy } from './api-error.ts'
import { fieldsOf, type Lease, type LeaseList, leaseObject, type OwnLease, readLease, readLeaseList } from './lease.ts'

export type LeaseChange = {
  /** `none`: the watch has come to this version, and there was nothing. */
  readonly kind: 'changed' | 'removed' | 'none'
  readonly lease: Lease
}

export type Leases = {
  /** @param selector a label selector */
  readonly list: (selector: string, signal?: AbortSignal) => Promise<LeaseList>
  /** Changes after that version of the list, until the API server ends it. */
  readonly watch: (from: LeaseWatch) => Promise<void>
  readonly get: (name: string) => Promise<Lease>
  readonly create: (lease: OwnLease, nowUnixMs: number) => Promise<Lease>
  /** @throws ApiError with status 409 when `known` is no longer what is stored */
  readonly replace: (lease: OwnLease, nowUnixMs: number, known: Lease) => Promise<Lease>
  /** @param known only if it still is this version; none: whatever is stored under the name */
  readonly remove: (name: string, known?: Lease) => Promise<void>
}
export type LeaseWatch = {
  readonly selector: string
  readonly resourceVersion: string
  readonly watchMs: number
  /** The API server has begun to answer. */
  readonly opened: () => void
  readonly changed: (change: LeaseChange) => void
  readonly signal: AbortSignal
}

export function leasesIn(namespace: string, api: ApiClient): Leases {
  const all = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`
  const one = (name: string): string => `${all}/${encodeURIComponent(name)}`
  const urgent = true // a lease that waits behind tokens would expire

  return {
    async list(selector, signal) {
      const what = `list leases in ${namespace}`
      const query = { labelSelector: selector }
      const list = readLeaseList(
        await api.request({ what, method: 'GET', path: all, query, urgent, ...(signal && { signal }) }),
      )
      return list ?? unusable(what)
    },
    watch({ selector, resourceVersion, watchMs, opened, changed, signal }) {
      const what = `watch leases in ${namespace}`
      const query = { labelSelector: selector, resourceVersion }
      const event = (value: unknown): void => changed(readChange(what, value))
      return api.watch({ what, path: all, query, urgent, watchMs, opened, event, signal })
    },
    async get(name) {
      const what = `get lease ${name}`
      return readLease(await api.request({ what, method: 'GET', path: one(name), urgent })) ?? unusable(what)
    },
    async create(lease, nowUnixMs) {
      const what = `create lease ${lease.name}`
      const body = leaseObject(lease, nowUnixMs)
      return readLease(await api.request({ what, method: 'POST', path: all, body, urgent })) ?? unusable(what)
    },
    async replace(lease, nowUnixMs, known) {
      const what = `renew lease ${lease.name}`
      const body = leaseObject(lease, nowUnixMs, known)
      return (
        readLease(await api.request({ what, method: 'PUT', path: one(lease.name), body, urgent })) ?? unusable(what)
      )
    },
    async remove(name, known) {
      const { resourceVersion } = known ?? {}
      const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } }
      await api.request({
        what: `delete lease ${name}`,
        method: 'DELETE',
        path: one(name),
        urgent,
        ...(known && { body: options }),
      })
    },
  }
}

function readChange(what: string, event: unknown): LeaseChange {
  const { type, object } = fieldsOf(event)
  if (type === 'ERROR') throw refusalBy(what, fieldsOf(object))
  const lease = readLease(object) ?? unusable(what)
  return { kind: KINDS.get(type) ?? 'changed', lease }
}

const KINDS: ReadonlyMap<unknown, LeaseChange['kind']> = new Map([
  ['DELETED', 'removed'],
  ['BOOKMARK', 'none'],
] as const)

function unusable(what: string): never {
  throw new ApiError(`${what}: the API server answered with something else`)
}
