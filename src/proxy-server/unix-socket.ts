/** A frontend on a Unix socket, for programs of the same group. Source: konnectivity's --uds-name. */
import { once } from 'node:events'
import { lstatSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { TunnelError } from '../platform/errors.ts'

/** The owner and its group may connect. */
const UMASK = 0o007

/**
 * @param name a path, or "@name" for an abstract socket
 * @throws TunnelError `bad-option`
 */
export async function listenOnUnixSocket(server: Server, name: string, deleteExisting: boolean): Promise<void> {
  const abstract = name.startsWith('@')
  try {
    if (deleteExisting && !abstract && isSocket(name)) unlinkSync(name)
    const listening = once(server, 'listening')
    bind(server, abstract ? `\0${name.slice(1)}` : name)
    await listening
  } catch (cause) {
    const why =
      (cause as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'it is there already' : (cause as Error).message
    throw new TunnelError('bad-option', `--uds-name: could not listen on ${name}: ${why}`, { cause })
  }
}

/** The socket's file is made within this call, so nothing else is made with our umask. */
function bind(server: Server, path: string): void {
  const umask = process.umask(UMASK)
  try {
    server.listen({ path })
  } finally {
    process.umask(umask)
  }
}

/** Nothing but a socket is ever removed: the flag may name a file by mistake. */
function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false
}
