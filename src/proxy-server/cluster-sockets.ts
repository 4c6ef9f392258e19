/** The Unix sockets of clusters, one each: made when the clusters file names one, and removed with it. */
import { createServer, type Server, type Socket } from 'node:net'
import type { Directory } from '../clusters/directory.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import type { Entrance } from './frontend-admission.ts'
import { listenOnUnixSocket } from './unix-socket.ts'

/** Between two attempts at a socket that cannot be made: milliseconds. */
const RETRY_MS = 5_000

export type ClusterSocketsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly directory: () => Directory
  readonly deleteExisting: boolean
  /** Whether clients may end their side and read on. */
  readonly allowHalfOpen: boolean
  /** Whether they are handed on, unread. */
  readonly pauseOnConnect: boolean
  readonly take: (socket: Socket, entrance: Entrance) => void
}

export type ClusterSockets = Disposable & {
  /** Makes those that the directory has and removes others. @throws TunnelError `bad-option` for those that cannot be had */
  readonly open: () => Promise<void>
  /** The same while the server runs: what cannot be had is said in the log and tried again. */
  readonly follow: () => Promise<void>
}

type Open = { readonly entrance: Entrance; readonly server: Server; readonly remove: Disposable }

export function createClusterSockets(deps: ClusterSocketsDeps): ClusterSockets {
  const { clock, log, directory, deleteExisting, allowHalfOpen, pauseOnConnect, take } = deps
  const opened = new Map<string, Open>() // by path
  let under: Promise<void> = Promise.resolve() // one change at a time
  let retry: Disposable | undefined
  let closed = false

  function wanted(): Map<string, Entrance> {
    const entrances = new Map<string, Entrance>()
    for (const { id: cluster, frontends } of directory().clusters) {
      if (frontends.socket !== undefined) entrances.set(frontends.socket, { path: frontends.socket, cluster })
    }
    return entrances
  }

  /** Whatever becomes of the file: one that cannot be removed is no reason to end the server. */
  function close({ entrance: { cluster, path }, server, remove }: Open): void {
    opened.delete(path)
    server.close()
    try {
      remove[Symbol.dispose]()
    } catch (cause) {
      log.error({ cluster, path, reason: (cause as Error).message }, 'the socket of a cluster cannot be removed')
    }
  }

  async function change(): Promise<void> {
    const entrances = wanted()
    for (const one of opened.values()) {
      if (entrances.get(one.entrance.path)?.cluster !== one.entrance.cluster) close(one)
    }
    const problems: string[] = []
    for (const entrance of entrances.values()) {
      if (closed || opened.has(entrance.path)) continue
      try {
        await listen(entrance)
      } catch (error) {
        if (!(error instanceof TunnelError)) throw error
        problems.push(error.message) // and the next one may be had all the same
      }
    }
    if (closed) for (const one of opened.values()) close(one)
    if (problems.length > 0) throw new TunnelError('bad-option', problems.join('\n'))
  }

  async function listen(entrance: Entrance): Promise<void> {
    const { path, cluster } = entrance
    const server = createServer({ allowHalfOpen, pauseOnConnect }, (socket) => take(socket, entrance))
    const remove = await listenOnUnixSocket(server, path, deleteExisting, `cluster ${cluster}`)
    opened.set(path, { entrance, server, remove })
    log.info({ cluster, path }, 'serving on the socket of a cluster')
  }

  function open(): Promise<void> {
    under = under.catch(() => undefined).then(change)
    return under
  }

  async function follow(): Promise<void> {
    retry?.[Symbol.dispose]()
    try {
      await open()
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      log.error({ reason: error.message }, 'the socket of a cluster cannot be had')
      if (!closed) retry = clock.after(RETRY_MS, () => void follow())
    }
  }

  return {
    open,
    follow,
    [Symbol.dispose]() {
      closed = true
      retry?.[Symbol.dispose]()
      for (const one of opened.values()) close(one)
    },
  }
}
