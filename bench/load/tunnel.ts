/**
 * One tunnel as kube-apiserver opens it: connect, `CONNECT`, read the answer, then raw bytes; in gRPC mode as call-tunnel.ts
 * has it. All tunnels of the process read into one buffer (`onread`), which keeps the load generator's own cost low.
 */
import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls'
import { openCallTunnel } from './call-tunnel.ts'
import { NoAnswer } from './control.ts'

export type Frontend =
  | {
      readonly kind: 'tls'
      readonly host: string
      readonly port: number
      /** What it asks for (SNI); absent: nothing, as an address is no name. */
      readonly servername?: string
      /** Address of this machine that it comes from; absent: as the system has it. */
      readonly localAddress?: string
      /** Files, PEM: what the server is checked against, and what the client shows. */
      readonly ca: string
      readonly cert: string
      readonly key: string
    }
  | { readonly kind: 'unix'; readonly path: string }
  /** gRPC mode, over a Unix socket. */
  | { readonly kind: 'grpc'; readonly path: string }

/** It was answered, by a no. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

export type TunnelUser = {
  /** Takes what arrives after the answer; `bytes` is good until it returns. False stops reading for good. */
  readonly receive: (bytes: Uint8Array, length: number) => boolean
  /** Called once when the tunnel breaks before `close`. */
  readonly broken: (error: Error) => void
  /** The answer is not waited for any longer; over TLS and a Unix socket in http-connect mode. */
  readonly givenUp?: AbortSignal
}
export type Tunnel = {
  /** @param taken called when the bytes have left this process, or the tunnel is gone */
  readonly write: (bytes: Uint8Array, taken?: () => void) => void
  readonly isClosed: () => boolean
  /** Breaks it off. */
  readonly close: () => void
  /** Closes it as soon as all that was written has left, as a client does that is done. */
  readonly finish: () => void
}

const READ_BYTES = 256 * 1024
const HEAD_LIMIT_BYTES = 16 * 1024
/** As Go's TLS client has it on a machine with AES instructions: AES-128-GCM first. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

const sharedRead = Buffer.allocUnsafe(READ_BYTES)
const contexts = new Map<string, SecureContext>()

/** @throws NoAnswer when the tunnel is not open after `deadlineMs`; Refused when the answer is not a 200; Error when none can come */
export function openTunnel(
  frontend: Frontend,
  target: string,
  deadlineMs: number,
  { receive, broken, givenUp }: TunnelUser,
): Promise<Tunnel> {
  if (frontend.kind === 'grpc') return openCallTunnel(frontend.path, target, deadlineMs, { receive, broken })
  const opened = Promise.withResolvers<Tunnel>()
  let head = ''
  let state: 'opening' | 'open' | 'closed' = 'opening'
  const socket = connect(frontend, (length, bytes) =>
    state === 'open' ? receive(bytes, length) : readHead(bytes, length),
  )
  const late = setTimeout(() => fail(new NoAnswer(`no answer to CONNECT after ${deadlineMs} ms`)), deadlineMs)
  socket.setNoDelay(true)
  socket.on('error', fail)
  const giveUp = (): void => fail(new Error('given up'))
  givenUp?.addEventListener('abort', giveUp)
  socket.once('close', () => {
    givenUp?.removeEventListener('abort', giveUp)
    fail(new Error('the proxy closed the connection'))
  })
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
  return opened.promise

  function readHead(bytes: Uint8Array, length: number): boolean {
    head += Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0 && head.length <= HEAD_LIMIT_BYTES) return state !== 'closed'
    if (end < 0 || !head.startsWith('HTTP/1.1 200 ')) {
      fail(new Refused(`CONNECT was refused: ${head.slice(0, 200).trim()}`))
      return false
    }
    clearTimeout(late)
    state = 'open'
    opened.resolve({
      write: (bytes, taken) => void socket.write(bytes, taken),
      isClosed: () => socket.destroyed,
      close,
      finish,
    })
    const early = Buffer.from(head.slice(end + 4), 'latin1')
    return early.length === 0 || receive(early, early.length)
  }

  function fail(error: Error): void {
    if (state === 'closed') return
    const wasOpen = state === 'open'
    close()
    if (wasOpen) broken(error)
    else opened.reject(error)
  }

  function finish(): void {
    state = 'closed'
    socket.destroySoon()
  }

  function close(): void {
    clearTimeout(late)
    state = 'closed'
    socket.destroy()
  }
}

/** Connects, and asks for nothing. */
export function connect(
  frontend: Exclude<Frontend, { kind: 'grpc' }>,
  callback: (length: number, bytes: Uint8Array) => boolean,
): Socket {
  const onread = { buffer: sharedRead, callback }
  if (frontend.kind === 'unix') return connectTcp({ path: frontend.path, onread })
  const { host, port, servername, localAddress } = frontend
  // OpenSSL checks the chain. Node would also turn the certificate into an object for checkServerIdentity, a fifth of what
  // a dial costs the load, which shares its processors with what is measured.
  const asked = { ...(servername !== undefined && { servername }), ...(localAddress !== undefined && { localAddress }) }
  const checkServerIdentity = () => undefined
  const options = { host, port, ...asked, secureContext: contextOf(frontend), onread, checkServerIdentity }
  return Object.assign(connectTls(options), { getPeerCertificate: () => ({}) })
}

function contextOf({ ca, cert, key }: Frontend & { readonly kind: 'tls' }): SecureContext {
  const known = contexts.get(cert)
  if (known !== undefined) return known
  const [caPem, certPem, keyPem] = [ca, cert, key].map((file) => readFileSync(file))
  const context = createSecureContext({
    ca: caPem!,
    cert: certPem!,
    key: keyPem!,
    ciphers: CIPHERS,
    minVersion: 'TLSv1.3',
  })
  contexts.set(cert, context)
  return context
}
