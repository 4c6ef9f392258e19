/**
 * The Unix sockets of clusters where workers serve: this process accepts on them, and follows the clusters file for that as the workers
 * do. What is wrong with the file they say.
 */
import type { Socket } from 'node:net'
import type { Cluster } from '../clusters/cluster.ts'
import { createDirectory } from '../clusters/directory.ts'
import { createClustersReader, MAX_CLUSTERS_BYTES } from '../clusters/read.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type FileText, watchTexts } from '../platform/watched.ts'
import { type ClusterSockets, createClusterSockets } from './cluster-sockets.ts'
import type { Entrance } from './frontend-admission.ts'
import type { ServerOptions } from './options.ts'

/** Between two looks at the file: milliseconds. Two of the workers' are over by then, who must know whom they are given. */
const LOOK_MS = 5_000

export type WorkerSockets = ClusterSockets & {
  /** The texts of the clusters in use: a worker that takes the place of another one begins with these when the files are broken by then. */
  readonly inUse: () => readonly FileText[] | undefined
}

/** @throws TunnelError `bad-option` */
export function watchWorkerSockets(
  options: ServerOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  take: (socket: Socket, entrance: Entrance) => void,
): WorkerSockets {
  const read = createClustersReader()
  const textsOf = new WeakMap<readonly Cluster[], readonly FileText[]>()
  const watch = watchTexts<readonly Cluster[]>(
    { flag: '--clusters', path: options.clusters, maxBytes: MAX_CLUSTERS_BYTES },
    (files) => {
      const found = read(files)
      if (found.ok) textsOf.set(found.value, files)
      return found
    },
    {
      clock,
      intervalMs: LOOK_MS,
      changed(clusters) {
        directory = createDirectory(clusters)
        void sockets.follow()
      },
      broken: () => undefined,
      mended: () => undefined,
    },
  )
  let directory = createDirectory(watch.current())
  const sockets = createClusterSockets({
    clock,
    log,
    directory: () => directory,
    deleteExisting: options.deleteExistingUdsFile,
    allowHalfOpen: true,
    pauseOnConnect: true,
    take,
  })
  return {
    ...sockets,
    inUse: () => textsOf.get(watch.current()),
    [Symbol.dispose]() {
      watch[Symbol.dispose]()
      sockets[Symbol.dispose]()
    },
  }
}
