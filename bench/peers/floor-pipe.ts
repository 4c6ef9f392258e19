/**
 * One half of the floor, a process of its own: takes connections and joins each to a TLS connection of its own, as plainly
 * as Node can. `front` stands where the server stands, `back` where the agent does; `back` also answers the CONNECT.
 * Takes its configuration, and tells its port, over the IPC channel.
 */
import { readFileSync } from 'node:fs'
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, createServer as createTlsServer } from 'node:tls'
import type { Certificates, KeyPair } from './peer.ts'

export type PipeConfig = {
  readonly listen: { readonly kind: 'tls' } | { readonly kind: 'unix'; readonly path: string }
  /** Port of the back; without it this is the back. */
  readonly next?: number
  readonly certificates: Certificates
}

const TARGET = /^CONNECT 127\.0\.0\.1:(\d+) HTTP\/1\.1\r\n/

function serve({ listen, next, certificates }: PipeConfig): void {
  const ca = readFileSync(certificates.ca)
  const read = ({ cert, key }: KeyPair) => ({ ca, cert: readFileSync(cert), key: readFileSync(key) })
  const context = createSecureContext(read(certificates.client))
  const take = (socket: Socket): void => {
    if (next === undefined) answerConnect(socket)
    else join(socket, connectTls({ host: '127.0.0.1', port: next, secureContext: context }).setNoDelay(true))
  }
  const server: Server =
    listen.kind === 'unix'
      ? createServer(take)
      : createTlsServer({ ...read(certificates.server), requestCert: true, noDelay: true }, take)
  server.listen(listen.kind === 'unix' ? { path: listen.path } : { host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
    const address = server.address()
    process.send?.(typeof address === 'object' ? (address?.port ?? 0) : 0)
  })
}

function answerConnect(socket: Socket): void {
  socket.on('error', () => socket.destroy())
  socket.once('data', (head) => {
    socket.pause()
    const port = Number(TARGET.exec(head.toString('latin1'))?.[1])
    const target = connectTcp({ host: '127.0.0.1', port, noDelay: true })
    target.once('connect', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      join(socket, target)
    })
    target.once('error', () => socket.destroy())
  })
}

function join(a: Socket, b: Socket): void {
  for (const [from, to] of [[a, b] as const, [b, a] as const]) {
    from.on('error', () => to.destroy())
    from.once('close', () => to.destroy())
    from.pipe(to)
  }
}

process.once('message', (config) => serve(config as PipeConfig))
process.once('disconnect', () => process.exit())
