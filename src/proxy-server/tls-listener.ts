/**
 * A port that speaks TLS: handshakes within a deadline, certificates looked at by us and not by a hang-up, material
 * exchanged while it runs. Source: docs/protocol.md section 11.
 */
import { constants } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import type { TlsProtocol } from '../platform/cipher-suites.ts'
import { keepAlive } from '../platform/keep-alive.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { PeerCertificate } from './core/admission.ts'
import type { BehindFrontDoors, Take } from './front-doors.ts'
import { addressOf, hasSpoken, passOnSource, plainAddress } from './source.ts'
import type { Standing } from './standing.ts'

/**
 * No client of ours resumes: TLS 1.2 gets no ticket, and TLS 1.3, which Node lets no one turn off, gets small ones that
 * nobody honours. Renegotiation is the peer's way to make us work.
 */
export const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION

export type TlsListenerOptions = {
  readonly material: TlsMaterial
  /** Of the certificates that are accepted. */
  readonly standing?: Standing | undefined
  readonly protocol: TlsProtocol
  readonly alpn: readonly string[]
  readonly handshakeTimeoutMs: number
  /** Whether a peer that ends its side goes on reading. Else its end is the connection's, as HTTP/2 needs it to notice. */
  readonly halfOpen: boolean
  /** Where `server` has connections of front doors. */
  readonly frontDoors?: BehindFrontDoors | undefined
  /** When handshakes begin of those who come by `server`. None: at once. */
  readonly gate?: ((take: Take) => Take) | undefined
  /**
   * A handshake is done, whatever the certificate is worth: ask `peerCertificate`. The listener reads nothing.
   * `raw` is the connection under it.
   */
  readonly connected: (socket: TLSSocket, raw: Socket) => void
  /** A connection is gone of whose peer something was read, and whose handshake was not done. */
  readonly brokeOff?: ((raw: Socket) => void) | undefined
  /** @param source address of who came, as far as it is still known */
  readonly failed: (why: 'failed' | 'slow', error: Error, source: string | undefined) => void
}

export type TlsListener = {
  /** For `listen` and `close`. */
  readonly server: Server
  /** Takes a connection that was accepted elsewhere. */
  readonly take: (socket: Socket) => void
  /** New handshakes use this; connections that are open keep what they have. */
  readonly renew: (material: TlsMaterial) => void
}

export function createTlsListener(options: TlsListenerOptions): TlsListener {
  const { alpn, handshakeTimeoutMs } = options
  const secure = ({ cert, key, ca }: TlsMaterial) => ({
    cert,
    key,
    ca,
    ...options.protocol,
    honorCipherOrder: true,
    secureOptions: SECURE_OPTIONS,
  })
  const tls = createTlsServer({
    ...secure(options.material),
    ALPNProtocols: [...alpn],
    requestCert: options.material.ca !== undefined,
    rejectUnauthorized: false, // with true Node hangs up without a word
    handshakeTimeout: handshakeTimeoutMs,
    noDelay: true,
  })
  const accepted = new Map<string, Accepted>() // until their handshakes are done
  tls.on('connection', (raw) => {
    keepAlive(raw) // a client whose machine is gone says nothing more, and an idle tunnel sends it nothing
    const path = pathOf(raw)
    const closed = (): void => {
      if (accepted.get(path)?.raw === raw) accepted.delete(path)
      if (hasSpoken(raw)) options.brokeOff?.(raw)
    }
    accepted.set(path, { raw, closed })
    raw.on('close', closed)
  })
  tls.on('secureConnection', (socket) => {
    if (socket.remoteAddress === undefined) return void socket.destroy() // reset meanwhile: nobody is there
    const path = pathOf(socket)
    const { raw, closed } = accepted.get(path) ?? { raw: socket, closed: nothing } // closed meanwhile
    raw.off('close', closed)
    accepted.delete(path)
    passOnSource(raw, socket)
    if (socket.authorized) options.standing?.hold(socket)
    socket.allowHalfOpen = options.halfOpen // not before: who hangs up during the handshake is gone at once
    options.connected(socket, raw)
  })
  tls.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    options.failed(
      error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'slow' : 'failed',
      error,
      plainAddress(addressOf(rawOf(socket))),
    )
    socket.destroy()
  })
  /** Of a peer whose address is still known. */
  function rawOf(socket: TLSSocket): Socket {
    return (socket.remoteAddress && accepted.get(pathOf(socket))?.raw) || socket
  }
  const take = (socket: Socket): void => void tls.emit('connection', socket)
  return {
    server: serverOf(options, tls, take),
    take,
    renew: (material) => tls.setSecureContext(secure(material)),
  }
}

function serverOf(
  { frontDoors, gate }: Pick<TlsListenerOptions, 'frontDoors' | 'gate'>,
  tls: Server,
  take: Take,
): Server {
  if (!frontDoors && !gate) return tls
  const admit = gate?.(take) ?? take
  return createServer({ pauseOnConnect: true, noDelay: true }, frontDoors?.(admit) ?? admit)
}

type Accepted = { readonly raw: Socket; readonly closed: () => void }

const nothing = (): void => {}

const pathOf = ({ localAddress, localPort, remoteAddress, remotePort }: Socket): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`

/** What the handshake found out about the peer, and what has become known of its certificate since. */
export function peerCertificate(socket: TLSSocket, required: boolean, standing?: Standing): PeerCertificate {
  const certificate = socket.getPeerX509Certificate()
  const error = socket.authorizationError as unknown
  return {
    required,
    present: certificate !== undefined,
    error: !required ? undefined : socket.authorized ? standing?.refusal(socket) : codeOf(error),
    get subject() {
      // Node has none for a certificate with a name in its extensions only, whatever its types say.
      const subject: string | undefined = certificate?.subject
      return subject?.replaceAll('\n', ', ') ?? ''
    },
    subjectAltName: certificate?.subjectAltName,
  }
}

function codeOf(error: unknown): string {
  if (typeof error === 'string') return error
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : 'not authorized'
}
