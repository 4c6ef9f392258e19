/** Listening, as a promise whose error says which flag to change, and its end. */
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { TunnelError } from './errors.ts'

/** Of those who come without end not all can be waited for. */
const MOST_TURNS = 1_000

export type ListenAddress = {
  /** For the message, such as `--health-port`. */
  readonly flag: string
  /** Empty: all addresses, IPv6 and IPv4. */
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Connections that the kernel keeps until they are accepted. Default: Node's, 511. */
  readonly backlog?: number
}

/**
 * @returns the port that was bound
 * @throws TunnelError `bad-option`
 */
export async function listen(server: Server, { flag, host, port, backlog }: ListenAddress): Promise<number> {
  try {
    const listening = once(server, 'listening')
    server.listen({ port, ...(host !== '' && { host }), ...(backlog !== undefined && { backlog }) })
    await listening
  } catch (cause) {
    const why = REASONS[(cause as NodeJS.ErrnoException).code ?? ''] ?? (cause as Error).message
    throw new TunnelError(
      'bad-option',
      `${flag}: could not listen on ${host || 'all addresses'}, port ${port}: ${why}`,
      { cause },
    )
  }
  // A connection that cannot be accepted, for want of descriptors for example, must not end the program.
  server.on('error', () => undefined)
  return (server.address() as AddressInfo).port
}

/**
 * Listens no more. Whom the kernel has accepted for it already would be reset: these are taken first, until a turn of the event
 * loop brings nobody, or has done so often enough.
 */
export async function stopListening(server: Server): Promise<void> {
  let came = true
  const taken = (): void => {
    came = true
  }
  server.on('connection', taken)
  for (let turns = 0; came && server.listening && turns < MOST_TURNS; turns++) {
    came = false
    await turn()
  }
  server.off('connection', taken)
  server.close()
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there',
  EACCES: 'permission denied',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
}
