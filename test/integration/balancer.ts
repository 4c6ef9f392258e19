/** A TCP balancer in front of servers, as a cloud puts one there: it sees bytes and no more. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { event } from './deadline.ts'

export type Balancer = {
  readonly port: number
  /** Connections that it has passed on so far, or tried to. */
  readonly passed: () => number
}

/** @param ports of those that are in turn the next, asked for with each connection; where none accepts it hangs up */
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
    passTo(client, ports().length)
  })

  /** To the next one that accepts. */
  function passTo(client: Socket, tries: number): void {
    const all = ports()
    const port = all[passed++ % all.length]
    if (tries === 0 || port === undefined) return void client.destroy()
    const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    keep(server)
    const refused = (): void => passTo(client, tries - 1)
    server.once('close', refused).once('connect', () => {
      server.off('close', refused)
      client.pipe(server).pipe(client)
      client.once('close', () => server.destroy())
      server.once('close', () => client.destroy())
    })
  }

  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (listener.address() as AddressInfo).port, passed: () => passed }
}
