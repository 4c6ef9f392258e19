/**
 * The replicas of this server, itself included, that agents are told of: from a file, or from the leases of all of them.
 * Source: docs/protocol.md section 8, docs/adr/0032.
 */
import type { Registry } from 'prom-client'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { tallyGauge } from '../platform/tallies.ts'
import { watchTexts } from '../platform/watched.ts'
import type { ListedServer } from '../tunnel/packet.ts'
import { leasedReplicas } from './core/leased-replicas.ts'
import { ownProblem } from './core/own-replica.ts'
import { MAX_REPLICAS_BYTES, readReplicasFile } from './core/replicas-file.ts'
import type { ServerKubernetes } from './kubernetes.ts'
import type { ServerOptions } from './options.ts'
import { replicaIdOf } from './worker-options.ts'

/** Between two looks at the file: milliseconds. */
const LOOK_MS = 5_000
/**
 * From a change of the leases to what agents are told: milliseconds. The leases of one replica come and go one by one, a worker each,
 * and an agent hangs up on a server that lists anew more often than once a second.
 */
const TELL_MS = 2_000

export type Replicas = Disposable & {
  /** Undefined until all of them are known: nothing is told then. */
  readonly list: () => readonly ListedServer[] | undefined
}

export type ReplicasDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly registry: Registry
  readonly kubernetes: ServerKubernetes | undefined
  /** The list is another one than before. */
  readonly changed: () => void
}

/** Whether flags ask for a list. */
export const listsReplicas = ({ replicasFile, replicaServerName }: ServerOptions): boolean =>
  replicasFile !== '' || replicaServerName !== ''

/** @throws TunnelError `bad-option` with every problem of the file, one per line */
export function openReplicas(options: ServerOptions, deps: ReplicasDeps): Replicas | undefined {
  if (!listsReplicas(options)) return undefined
  const opened = options.replicasFile === '' ? byLeases(options, deps) : byFile(options, deps)
  createReplicaMetrics(deps.registry, { ...opened, known: () => opened.replicas.list()?.length ?? 0 })
  return opened.replicas
}

export type ReplicaFigures = {
  readonly known: () => number
  readonly isBroken: () => boolean
  readonly isMismatch: () => boolean
}

export function createReplicaMetrics(registry: Registry, { known, isBroken, isMismatch }: ReplicaFigures): void {
  const knownHelp = 'Replicas of this server that agents are told of, itself included.'
  tallyGauge(registry, 'culvert_server_known_replicas', knownHelp, known, 'max')
  const brokenHelp = '1 while the file or the leases make no list of replicas, and an older one, or none, is in use.'
  tallyGauge(registry, 'culvert_server_replicas_broken', brokenHelp, () => (isBroken() ? 1 : 0), 'max')
  const mismatchHelp = '1 while the file does not name this server by its --server-id, or with other --workers.'
  tallyGauge(registry, 'culvert_server_replica_mismatch', mismatchHelp, () => (isMismatch() ? 1 : 0), 'max')
}

type Opened = Omit<ReplicaFigures, 'known'> & { readonly replicas: Replicas }

function byFile(options: ServerOptions, { clock, log, changed }: ReplicasDeps): Opened {
  const { replicasFile: path, workers } = options
  const own = { id: replicaIdOf(options), workers }
  const watch = watchTexts({ flag: '--replicas-file', path, maxBytes: MAX_REPLICAS_BYTES }, readReplicasFile, {
    clock,
    intervalMs: LOOK_MS,
    changed(list) {
      log.info({ replicas: list.map(({ id }) => id) }, 'replicas changed')
      check(list)
      changed()
    },
    broken: (error) => log.error({ reason: error.message }, 'list of replicas is broken, the one before stays in use'),
    mended: () => log.info({}, 'list of replicas is good again'),
  })
  const dispose = watch[Symbol.dispose]
  check(watch.current())

  /** A list without us is used: who is to be stopped may be taken out first. But it may be a mistake, and agents would leave us for it. */
  function check(list: readonly ListedServer[]): void {
    const reason = ownProblem(list, own)
    if (reason) log.warn({ reason }, 'the list of replicas is not right about this server')
  }

  return {
    replicas: { list: watch.current, [Symbol.dispose]: dispose },
    isBroken: () => watch.alarm() !== undefined,
    isMismatch: () => ownProblem(watch.current(), own) !== undefined,
  }
}

function byLeases(options: ServerOptions, { clock, log, kubernetes, changed }: ReplicasDeps): Opened {
  const { serverId, replicaServerName, replicaAddress, workers } = options
  const own = { id: serverId, serverName: replicaServerName, address: replicaAddress, workers }
  let list: readonly ListedServer[] | undefined
  let problem: string | undefined
  let telling: Disposable | undefined

  function tellSoon(): void {
    telling ??= clock.after(TELL_MS, () => {
      telling = undefined
      changed()
    })
  }

  const leases = kubernetes?.follow((found) => {
    const read = leasedReplicas(found, own)
    if (!read.ok) {
      if (problem !== read.reason) log.warn({ reason: read.reason }, 'agents are not told of replicas by these leases')
      problem = read.reason
      return
    }
    problem = undefined
    if (JSON.stringify(read.list) === JSON.stringify(list)) return
    list = read.list
    log.info({ replicas: list.map(({ id }) => id) }, 'replicas changed')
    tellSoon()
  })
  return {
    replicas: {
      list: () => list,
      [Symbol.dispose]() {
        leases?.[Symbol.dispose]()
        telling?.[Symbol.dispose]()
      },
    },
    isBroken: () => problem !== undefined,
    isMismatch: () => false, // it is always in the list, as it is
  }
}
