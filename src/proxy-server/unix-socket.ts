/** A frontend on a Unix socket, for programs of the same group. Source: konnectivity's --uds-name. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { lstatSync, renameSync, statSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { getSystemErrorMessage } from 'node:util'
import { TunnelError } from '../platform/errors.ts'

/** The owner and its group may connect. */
const UMASK = 0o007
/** Longest path of a socket, which is the kernel's limit and the clients'. */
const MAX_PATH_BYTES = 107

/**
 * @param name a path, or "@name" for an abstract socket
 * @param asker what named it, for the error
 * @returns removes the socket, unless another server has taken its place meanwhile
 * @throws TunnelError `bad-option`
 */
export async function listenOnUnixSocket(
  server: Server,
  name: string,
  deleteExisting: boolean,
  asker = '--uds-name',
): Promise<Disposable> {
  try {
    if (name.startsWith('@')) {
      await bind(server, `\0${name.slice(1)}`)
      return { [Symbol.dispose]: () => undefined }
    }
    return await listenAtPath(server, name, deleteExisting)
  } catch (cause) {
    const why = reasonOf(cause as NodeJS.ErrnoException, name.startsWith('@') ? undefined : dirname(name))
    throw new TunnelError('bad-option', `${asker}: could not listen on ${name}: ${why}`, { cause })
  }
}

/**
 * The error itself may name the path that we made up beside the one that was given, and Node says EACCES of a folder that does
 * not exist.
 */
function reasonOf({ code, errno, message }: NodeJS.ErrnoException, folder: string | undefined): string {
  if (code === 'EADDRINUSE') return 'it is there already'
  if (errno === undefined) return message
  const why = folder === undefined ? undefined : whyUnfit(folder)
  if (why !== undefined) return why
  if (folder !== undefined && (code === 'EACCES' || code === 'EPERM')) return `its folder ${folder} is not writable`
  return getSystemErrorMessage(errno)
}

function whyUnfit(folder: string): string | undefined {
  try {
    return statSync(folder).isDirectory() ? undefined : `${folder} is not a folder`
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOTDIR') return `${folder} is not a folder`
    return code === 'ENOENT' ? `its folder ${folder} does not exist` : undefined
  }
}

/**
 * Listens beside the path and moves the socket there. So clients find a socket at every moment; and a server unlinks, when it
 * closes, the path that it was bound to, which would be the socket of the one that took its place.
 */
async function listenAtPath(server: Server, path: string, deleteExisting: boolean): Promise<Disposable> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new Error(`its path has more than ${MAX_PATH_BYTES} bytes`)
  refuseToReplace(path, deleteExisting)
  const beside = join(dirname(path), `.${randomUUID().slice(0, Math.max(4, basename(path).length - 1))}`)
  await bind(server, beside)
  renameSync(beside, path)
  const { ino } = lstatSync(path)
  return {
    [Symbol.dispose]() {
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) unlinkSync(path)
    },
  }
}

/** Nothing but a socket is ever removed: the flag may name a file by mistake. @throws Error `EADDRINUSE` */
function refuseToReplace(path: string, deleteExisting: boolean): void {
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (!there || (deleteExisting && there.isSocket())) return
  throw Object.assign(new Error('address already in use'), { code: 'EADDRINUSE' })
}

/** The socket's file is made within the call of `listen`, so nothing else is made with our umask. */
async function bind(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening')
  const umask = process.umask(UMASK)
  try {
    server.listen({ path })
  } finally {
    process.umask(umask)
  }
  await listening
}
