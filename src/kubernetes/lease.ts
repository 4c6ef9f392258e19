/**
 * Leases as they cross the wire, and when one is valid. Source: coordination.k8s.io/v1, and konnectivity's rule: renewTime,
 * else acquireTime, plus the duration is later than now.
 */
import type { Labels } from './core/labels.ts'

/** How agents reach the holder of a lease; an address that is empty: where they reach any of its kind. */
export type LeasedReplica = { readonly serverName: string; readonly address: string }

/** What is read of a lease. Nothing else that comes is kept. */
export type Lease = {
  readonly name: string
  readonly holder: string
  /** None: it does not say. */
  readonly replica?: LeasedReplica
  readonly resourceVersion: string
  /** Until when it is valid: milliseconds since 1970; minus infinity when that cannot be told, as for one without a time. */
  readonly expiresUnixMs: number
}

export type OwnLease = {
  readonly name: string
  readonly holder: string
  readonly labels: Labels
  readonly replica?: LeasedReplica | undefined
  readonly durationSeconds: number
  readonly acquiredUnixMs: number
}

/** Undefined when it has no name or no version, which no stored object lacks. */
export function readLease(value: unknown): Lease | undefined {
  const { metadata, spec } = fieldsOf(value)
  const { name, resourceVersion, annotations } = fieldsOf(metadata)
  if (typeof name !== 'string' || typeof resourceVersion !== 'string') return undefined
  const { holderIdentity, renewTime, acquireTime, leaseDurationSeconds } = fieldsOf(spec)
  const replica = readReplica(annotations)
  const sinceUnixMs = Date.parse(String(renewTime ?? acquireTime))
  const expiresUnixMs = sinceUnixMs + Number(leaseDurationSeconds ?? Number.NaN) * 1000
  return {
    name,
    resourceVersion,
    holder: shortText(holderIdentity) ?? '',
    ...(replica && { replica }),
    expiresUnixMs: Number.isFinite(expiresUnixMs) ? expiresUnixMs : Number.NEGATIVE_INFINITY,
  }
}

/** Names of annotations of our own. */
const SERVER_NAME = 'culvert-server-name'
const ADDRESS = 'culvert-address'
/** Longest text that is kept of one: characters. */
const MAX_TEXT_CHARS = 300

function readReplica(annotations: unknown): LeasedReplica | undefined {
  const { [SERVER_NAME]: given, [ADDRESS]: address = '' } = fieldsOf(annotations)
  const serverName = shortText(given)
  const where = shortText(address)
  return serverName === undefined || where === undefined ? undefined : { serverName, address: where }
}

const shortText = (value: unknown): string | undefined =>
  typeof value === 'string' && value.length <= MAX_TEXT_CHARS ? value : undefined

export type LeaseList = {
  readonly leases: readonly Lease[]
  /** From here a watch goes on without a gap. */
  readonly resourceVersion: string
}

/** Undefined when it is no list. */
export function readLeaseList(value: unknown): LeaseList | undefined {
  const { metadata, items } = fieldsOf(value)
  const { resourceVersion } = fieldsOf(metadata)
  if (!Array.isArray(items) || typeof resourceVersion !== 'string') return undefined
  return { leases: items.map(readLease).filter((lease) => lease !== undefined), resourceVersion }
}

/** @param replaced the version of the object that this one takes the place of; none: a new one */
export function leaseObject(lease: OwnLease, nowUnixMs: number, replaced?: Pick<Lease, 'resourceVersion'>): object {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: lease.name,
      labels: lease.labels,
      ...(lease.replica && {
        annotations: { [SERVER_NAME]: lease.replica.serverName, [ADDRESS]: lease.replica.address },
      }),
      ...(replaced && { resourceVersion: replaced.resourceVersion }),
    },
    spec: {
      holderIdentity: lease.holder,
      leaseDurationSeconds: lease.durationSeconds,
      acquireTime: microTime(lease.acquiredUnixMs),
      renewTime: microTime(nowUnixMs),
    },
  }
}

/** An API server takes exactly six digits after the point. */
const microTime = (unixMs: number): string => new Date(unixMs).toISOString().replace('Z', '000Z')

/** The fields of a value that should be an object; of anything else, none. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
