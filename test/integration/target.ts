/** What the agent connects to: servers in the test's own process, each with one habit. */
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { event } from './deadline.ts'
import { startStoppable } from './stoppable.ts'

export type Target = {
  /** host:port */
  readonly address: string
  readonly port: number
  /** The connections that are open. */
  readonly sockets: ReadonlySet<Socket>
  /** The next connection that comes. */
  readonly next: () => Promise<Socket>
}

/** @param serve half-open sockets, for the habit to end */
export async function listenTarget(t: Test, serve: (socket: Socket) => void, host = '127.0.0.1'): Promise<Target> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
    serve(socket)
    server.emit('served', socket)
  })
  server.listen(0, host)
  await event(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return { address, port, sockets, next: () => event<Socket>(server, 'served') }
}

/** Sends everything back, and its end when the other end has come. */
export const echo = (socket: Socket): void => void socket.pipe(socket)
/** Reads and says nothing. */
export const silent = (socket: Socket): void => void socket.resume()
/** Sends without end. */
export function pour(socket: Socket): void {
  const chunk = Buffer.alloc(65_536)
  const more = (): void => {
    while (socket.writable && socket.write(chunk));
  }
  socket.on('drain', more)
  more()
}
/** Does not even read. */
export const idle = (_socket: Socket): void => {}

/**
 * A port that nobody listens on, nor will while this process lives: it is one end of a connection. A port that was only closed may be
 * given to another test at once.
 */
export const closedPort = async (): Promise<string> => `127.0.0.1:${(await heldConnection()).localPort}`

/**
 * A port for a program that comes back to it: who asks for any free one is not given it while this process lives, and who asks for it by
 * number is. It is the other end of a connection, that of the accepted one.
 */
export const ownPort = async (): Promise<number> => (await heldConnection()).remotePort ?? 0

/** That is open for as long as this process lives, with nobody listening where it leads to. */
async function heldConnection(): Promise<Socket> {
  const server: Server = createServer()
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const taken = event<Socket>(server, 'connection')
  const holder = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await event(holder, 'connect')
  for (const end of [holder, await taken]) end.unref().on('error', () => undefined)
  server.close()
  return holder
}

export type Stuck = {
  readonly address: string
  readonly port: number
  /** It accepts from now on and echoes. */
  readonly release: () => void
}

const STUCK = `
const server = require('node:net').createServer((socket) => socket.on('error', () => {}).pipe(socket))
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port))
`
/** Connections that the kernel completes for a listener with a backlog of 1 before it ignores who comes next. */
const BACKLOG = 2

/** Of an agent that is still dialling such a target when a test gets to the end of it: by default it gives up after 5 s. */
export const PATIENT = '--endpoint-dial-timeout=60s'

/** A target that does not answer: a stopped process whose backlog is full, so that the kernel ignores further SYNs. */
export async function stuckTarget(t: Test): Promise<Stuck> {
  const child = await startStoppable(t, ['-e', STUCK], 'the stuck target listens')
  const port = Number(child.line)
  child.stop()
  for (let count = 0; count < BACKLOG; count++) {
    const filler = connect(port, '127.0.0.1')
    filler.on('error', () => undefined)
    t.teardown(() => filler.destroy())
    await event(filler, 'connect')
  }
  return { address: `127.0.0.1:${port}`, port, release: child.cont }
}

/** The sockets of this machine that wait for that port to accept: lines of the kernel's table in state SYN_SENT. */
export function dialsUnderWay(port: number): string[] {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .filter((line) => {
      const [, , peer, state] = line.trim().split(/\s+/)
      return peer === remote && state === '02'
    })
}
