/** Listening, as a promise whose error says which flag to change. */
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { TunnelError } from './errors.ts'

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

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there',
  EACCES: 'permission denied',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
}
