/** Clients of the frontend: what kube-apiserver does, and what others might. */
import { once } from 'node:events'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { Leaf } from './certificates.ts'
import { DEADLINE_MS, event, within } from './deadline.ts'
import type { Server } from './tunnel.ts'

/** What a client has to know of a server, whoever made that. */
export type Frontend = Pick<Server, 'transport' | 'socketPath' | 'frontendPort' | 'pki'> & {
  /** What to ask a front door for. */
  readonly servername?: string
}

export const ESTABLISHED = 'HTTP/1.1 200 Connection Established\r\n\r\n'

/** @param leaf the client's certificate: kube-apiserver's, another one, or none */
export async function connectFrontend(server: Frontend, leaf: Leaf | 'none' = server.pki.apiserver): Promise<Socket> {
  if (server.transport === 'uds') {
    const socket = new Socket({ allowHalfOpen: true }).connect(server.socketPath)
    await event(socket, 'connect')
    return socket
  }
  const options = {
    host: '127.0.0.1',
    port: server.frontendPort,
    ca: server.pki.authority.certificatePem,
    ...(server.servername && { servername: server.servername }),
    ...(leaf !== 'none' && { cert: leaf.cert, key: leaf.key }),
    allowHalfOpen: true,
  }
  const socket = connectTls(options)
  socket.setNoDelay(true)
  await event(socket, 'secureConnect')
  return socket
}

export const connectHead = (address: string): string => `CONNECT ${address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`

/**
 * A tunnel to the target, paused. Over TLS the 200 must be all that the first read gives; on a Unix socket a target that
 * speaks first may be read together with it, which no server can prevent.
 *
 * @param early sent right behind the head
 * @throws Error for any other answer
 */
export async function openTunnel(server: Frontend, address: string, early: string | Buffer = ''): Promise<Socket> {
  const socket = await connectFrontend(server)
  socket.write(Buffer.concat([Buffer.from(connectHead(address)), Buffer.from(early)]))
  const [first] = (await within(Promise.race([once(socket, 'data'), once(socket, 'close')]), 'an answer')) as [unknown]
  socket.pause()
  const bytes = Buffer.isBuffer(first) ? first : Buffer.alloc(0)
  const [head, rest] = [bytes.subarray(0, ESTABLISHED.length), bytes.subarray(ESTABLISHED.length)]
  if (head.toString('latin1') !== ESTABLISHED || (rest.length > 0 && server.transport === 'tls')) {
    socket.destroy()
    throw new Error(`expected the 200 alone, got ${JSON.stringify(bytes.toString('latin1', 0, 500))}`)
  }
  if (rest.length > 0) socket.unshift(rest)
  return socket
}

/** A tunnel over a connection that stands, made by whatever way. @throws Error for any other answer than the 200 */
export async function tunnelOver<S extends Duplex>(socket: S, address: string): Promise<S> {
  const head = readBytes(socket, ESTABLISHED.length)
  socket.write(connectHead(address))
  const answer = (await head).toString('latin1')
  if (answer !== ESTABLISHED) throw new Error(`expected the 200, got ${JSON.stringify(answer)}`)
  return socket
}

export type FrontendAnswer = {
  readonly status: number
  readonly reason: string
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Sends the bytes and reads until the server ends the connection. */
export async function ask(server: Frontend, bytes: string | Buffer, leaf?: Leaf | 'none'): Promise<FrontendAnswer> {
  const socket = await connectFrontend(server, leaf)
  socket.write(bytes)
  const answer = (await readAll(socket)).toString('latin1')
  socket.destroy()
  return readAnswer(answer)
}

export const askFor = (server: Frontend, address: string): Promise<FrontendAnswer> => ask(server, connectHead(address))

export function readAnswer(text: string): FrontendAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [first = '', ...fields] = head.split('\r\n')
  const [, status = '0', reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(first) ?? []
  const headers = Object.fromEntries(
    fields.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { status: Number(status), reason, headers, body: rest.join('\r\n\r\n') }
}

/** Reads on and waits until nothing more can come, however that ends. Asked for before it may happen. */
export function endOf(socket: Socket): Promise<unknown> {
  const ended = new Promise((resolve) => {
    for (const name of ['end', 'error', 'close']) socket.once(name, resolve)
  })
  socket.on('error', () => undefined)
  socket.resume()
  return within(ended, 'the end of a connection')
}

/** All bytes up to a clean end. @throws the socket's error */
export async function readAll(socket: Socket, deadlineMs = DEADLINE_MS): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.resume()
  await within(once(socket, 'end'), 'the end of what the server sends', deadlineMs)
  return Buffer.concat(chunks)
}

/** Exactly so many bytes; the socket is paused afterwards. */
export function readBytes(socket: Duplex, bytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let had = 0
  const data = (chunk: Buffer): void => {
    chunks.push(chunk)
    had += chunk.length
    if (had < bytes) return
    socket.pause()
    resolve(Buffer.concat(chunks))
  }
  const close = (): void => reject(new Error(`the connection ended after ${had} of ${bytes} bytes`))
  socket.on('data', data)
  socket.once('close', close)
  socket.once('end', close)
  if (socket.destroyed || socket.readableEnded) close() // before anyone listened
  socket.resume()
  return within(promise, `${bytes} bytes come, of which ${had} have`).finally(() => {
    socket.off('data', data)
    socket.off('close', close)
    socket.off('end', close)
  })
}

/** Sends a text and expects it back. @throws Error when it does not come */
export async function echoOver(socket: Duplex, text: string): Promise<void> {
  const back = readBytes(socket, Buffer.byteLength(text))
  socket.write(text)
  const got = (await back).toString()
  if (got !== text) throw new Error(`expected ${JSON.stringify(text)} back, got ${JSON.stringify(got)}`)
}
