/**
 * Step: the service that is to be reached. What makes it private is its loopback address: no other machine can connect to
 * it. On this one every program could, so it counts its bytes: the agent's count of them tells whose connection it was.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { ADDRESS } from './certificates.ts'

export type PrivateService = AsyncDisposable & {
  /** Host and port, as a CONNECT names it. */
  readonly target: string
  readonly url: string
  /** Of all connections since the start. */
  readonly bytes: () => { readonly read: number; readonly written: number }
}

export async function startPrivateService(): Promise<PrivateService> {
  const connections: Socket[] = []
  const server = createServer(({ socket: { remoteAddress, remotePort } }, response) => {
    const which = `connection ${connections.length}, from ${remoteAddress}:${remotePort}`
    response.setHeader('Content-Type', 'text/plain; charset=utf-8')
    response.end(`Hello from the private service: ${which}.\n`)
  })
  server.on('connection', (socket: Socket) => connections.push(socket))
  server.listen(0, ADDRESS)
  await once(server, 'listening')
  const target = `${ADDRESS}:${(server.address() as AddressInfo).port}`
  return {
    target,
    url: `http://${target}/`,
    bytes: () => ({
      read: connections.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
      written: connections.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
    }),
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
