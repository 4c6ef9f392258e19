/** An sni-router on any free ports, with a configuration that can be written anew, and who connects to it. */
import { renameSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls, createServer, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { type Leaf, temporaryFolder } from './certificates.ts'
import { event, eventually } from './deadline.ts'
import { launch, type Program, readPorts } from './program.ts'
import type { Target } from './target.ts'

export type FrontDoor = Program & {
  readonly port: number
  readonly healthPort: number
  readonly adminPort: number
  /** Replaces the configuration and has it looked at: twice, as a broken one is told at the second look. */
  readonly reload: (config: object | string) => void
}

/** `listen` is added: one port of the loopback address. */
export async function startFrontDoor(
  t: Test,
  config: { readonly routes: readonly object[]; readonly [key: string]: unknown },
  {
    flags = [],
    proxyProtocolFrom = [],
  }: { readonly flags?: readonly string[]; readonly proxyProtocolFrom?: readonly string[] } = {},
): Promise<FrontDoor> {
  const folder = temporaryFolder(t)
  const [file, portsFile] = [join(folder, 'front-door.yaml'), join(folder, 'ports')]
  const write = (given: object | string): void => {
    const listen = [{ address: '127.0.0.1', port: 0, proxyProtocolFrom }]
    writeFileSync(`${file}.new`, typeof given === 'string' ? given : JSON.stringify({ listen, ...given }))
    renameSync(`${file}.new`, file)
  }
  write(config)
  const program = launch(t, {
    name: 'sni-router',
    flags: [`--config=${file}`, `--ports-file=${portsFile}`, '--health-port=0', ...flags],
  })
  await program.logged('serving')
  const ports = readPorts(portsFile)
  return {
    ...program,
    port: ports.listen ?? 0,
    healthPort: ports.health ?? 0,
    adminPort: 0,
    reload(given) {
      write(given)
      program.signal('SIGHUP')
    },
  }
}

/** Connected to the router, as bytes. @param localAddress where it comes from */
export async function connectRaw(
  t: Test,
  port: number,
  { host = '127.0.0.1', localAddress = '' }: { readonly host?: string; readonly localAddress?: string } = {},
): Promise<Socket> {
  const socket = new Socket({ allowHalfOpen: true }).connect({ port, host, ...(localAddress && { localAddress }) })
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await event(socket, 'connect')
  return socket
}

/** The connection that brings the next client's bytes to a target; that of a health check brings none. Asked for before it comes. */
export function nextBackend(target: Target): () => Promise<Socket> {
  const before = new Set(target.sockets)
  const find = (): Socket | undefined => [...target.sockets].find((it) => !before.has(it) && it.bytesRead > 0)
  return async () => (await eventually('the client has reached its backend', find, (it) => it !== undefined))!
}

/** @throws the error of the handshake */
export async function handshake(t: Test, port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, allowHalfOpen: true, ...options } as ConnectionOptions)
  t.teardown(() => socket.destroy())
  await event(socket, 'secureConnect')
  socket.on('error', () => undefined)
  return socket
}

export type TlsBackend = { readonly address: string; readonly port: number; readonly served: () => number }

/** Answers each client with its own name, then echoes. */
export async function startTlsBackend(
  t: Test,
  name: string,
  { cert, key }: Leaf,
  protocols: string[] = [],
): Promise<TlsBackend> {
  const sockets = new Set<Socket>()
  let served = 0
  const server = createServer({
    cert,
    key,
    allowHalfOpen: true,
    ...(protocols.length > 0 && { ALPNProtocols: protocols }),
  })
  server.on('secureConnection', (socket) => {
    served++
    socket.on('error', () => undefined)
    socket.write(`${name}\n`)
    socket.pipe(socket)
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { address: `127.0.0.1:${port}`, port, served: () => served }
}
