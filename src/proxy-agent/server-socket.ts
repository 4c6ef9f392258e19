/** A TLS connection to a proxy-server: for the stream of a link, or for one of its lanes. */

import type { X509Certificate } from 'node:crypto'
import { isIP, type LookupFunction } from 'node:net'
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { ServerStanding } from './server-standing.ts'

export type ServerSocketOptions = {
  readonly host: string
  readonly port: number
  readonly material: TlsMaterial
  readonly protocol: TlsProtocol
  readonly alpn: readonly string[]
  readonly lookup: LookupFunction
  /** Of the server, by the certificate that TLS verifies; none: TLS alone looks at that. */
  readonly standing: Pick<ServerStanding, 'hold' | 'refusal'> | undefined
  /** It is no longer good. */
  readonly lost: (why: string) => void
  /** What is asked for and what the certificate must have, instead of the host. */
  readonly serverName?: string | undefined
  /** Of this very server, where its name may have several. */
  readonly address?: string
  /** Whether the peer's end is not yet ours. */
  readonly halfOpen?: boolean
}

export function connectToServer(options: ServerSocketOptions): TLSSocket {
  const { host, port, material, protocol, alpn, lookup, address = host, halfOpen = false, standing, lost } = options
  const servername = options.serverName ?? (isIP(host) === 0 ? host : undefined)
  const refused = (leaf: X509Certificate | undefined): Error | undefined => {
    const why = leaf && standing?.refusal(leaf)
    return why === undefined ? undefined : new Error(why)
  }
  const socket: TLSSocket = connect({
    host: address,
    port,
    lookup,
    ...material,
    ...protocol,
    ALPNProtocols: [...alpn],
    ...(servername !== undefined && { servername }),
    // Asked before anything is sent: neither token nor id is for a server that is refused.
    checkServerIdentity: (name, certificate) =>
      checkServerIdentity(name, certificate) ?? refused(socket.getPeerX509Certificate()),
  })
  socket.once('secureConnect', () => standing?.hold(socket, lost))
  socket.allowHalfOpen = halfOpen
  socket.setNoDelay(true)
  return socket
}
