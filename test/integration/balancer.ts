/** A TCP balancer in front of servers, as a cloud puts one there: it sees bytes and no more. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { event } from './deadline.ts'

export type Balancer = {
  readonly port: number
  /** Connections that it has passed on so far. */
  readonly passed: () => number
}

/** @param ports of those that are in turn the next, asked for with each connection; none: it hangs up */
export async function startBalancer(t: Test, ports: () => readonly number[]): Promise<Balancer> {
  const sockets = new Set<Socket>()
  let passed = 0
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  }
  const listener = createServer({ allowHalfOpen: true }, (client) => {
    keep(client)
    const all = ports()
    const port = all[passed++ % all.length]
    if (port === undefined) return void client.destroy()
    const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    keep(server)
    client.pipe(server).pipe(client)
    client.once('close', () => server.destroy())
    server.once('close', () => client.destroy())
  })
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (listener.address() as AddressInfo).port, passed: () => passed }
}
