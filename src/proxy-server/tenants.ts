/**
 * The clusters of a server with --tenancy=multi: the files that list them, looked at again and again, and what each of them uses.
 * Loaded only with that flag. Source: docs/tenancy.md.
 */
import type { Registry } from 'prom-client'
import { type Cluster, limitsOfWorker } from '../clusters/cluster.ts'
import { createDirectory, type Directory } from '../clusters/directory.ts'
import { createClustersReader, MAX_CLUSTERS_BYTES } from '../clusters/read.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type FileText, WHY_PASSED_OVER, watchTexts } from '../platform/watched.ts'
import { type Budget, removeBudget } from '../tunnel/budget.ts'
import { createTenant, type LimitName, setLimits, type Tenant } from './core/tenant.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import { createTenantMetrics } from './tenant-metrics.ts'

/** Between two looks at the files: milliseconds. */
const LOOK_MS = 2_000

export type Tenants = Disposable & {
  readonly directory: () => Directory
  /** Undefined when the cluster is not, or no longer, one of this server. */
  readonly get: (cluster: string) => Tenant | undefined
  /** Counts what was refused for a limit of the cluster. */
  readonly refused: (cluster: string, limit: LimitName) => void
  /** Counts a peer with a good credential that leads to no cluster. */
  readonly unmapped: (port: Port) => void
  /** Calls that when the clusters have changed, whoever asked first first. */
  readonly onChange: (changed: () => void) => void
}

export type TenantsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly registry: Registry
  readonly processBudget: Budget
  /** What other processes of this server have in use. */
  readonly inUse?: readonly FileText[] | undefined
  /** Open connections of a cluster, for the metrics. */
  readonly connections: (cluster: string) => number
}

/** @throws TunnelError `bad-option` with every mistake in the files, one per line, unless other processes have clusters in use */
export function openTenants(options: ServerOptions, deps: TenantsDeps): Tenants {
  const { clock, log, processBudget } = deps
  const tenants = new Map<string, Tenant>()
  const changes: (() => void)[] = []
  let directory = createDirectory([])

  function use(clusters: readonly Cluster[]): void {
    directory = createDirectory(clusters)
    for (const { id, limits } of clusters) {
      const own = limitsOfWorker(limits, options.workers)
      const known = tenants.get(id)
      if (known) setLimits(known, own)
      else tenants.set(id, createTenant(id, own, { processBudget, after: clock.after }))
    }
    for (const [id, { budget }] of tenants) {
      if (directory.get(id)) continue
      tenants.delete(id)
      removeBudget(budget)
      metrics.forget(id)
    }
  }

  const read = createClustersReader()
  const others = deps.inUse && read(deps.inUse) // first: from now on files without clusters are broken ones
  const source = {
    flag: '--clusters',
    path: options.clusters,
    maxBytes: MAX_CLUSTERS_BYTES,
    passedOver: warnOncePerFile(log),
  }
  const watch = watchTexts(source, read, {
    instead: others?.ok ? others.value : undefined,
    clock,
    intervalMs: LOOK_MS,
    changed(clusters) {
      use(clusters)
      log.info({ clusters: clusters.length }, 'clusters changed')
      for (const changed of changes) changed()
    },
    broken: (error) => log.error({ reason: error.message }, 'clusters are broken, the ones before stay in use'),
    mended: () => log.info({}, 'clusters are good again'),
  })
  const metrics = createTenantMetrics(deps.registry, {
    tenants: () => tenants.values(),
    connections: deps.connections,
    broken: () => watch.alarm() !== undefined,
  })
  use(watch.current())

  return {
    directory: () => directory,
    get: (cluster) => tenants.get(cluster),
    refused: metrics.refused,
    unmapped: metrics.unmapped,
    onChange: (changed) => void changes.push(changed),
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  }
}

/** As long as it is there. */
function warnOncePerFile(log: Log): (paths: readonly string[]) => void {
  let told = new Set<string>()
  return (paths) => {
    for (const path of paths) if (!told.has(path)) log.warn({ path }, `file of --clusters ${WHY_PASSED_OVER}`)
    told = new Set(paths)
  }
}
