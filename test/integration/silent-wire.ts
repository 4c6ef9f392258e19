/** A wire between an agent and its server that, once told to, brings nothing more to either end and says nothing: a silent drop. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { event } from './deadline.ts'

export type SilentWire = {
  readonly port: number
  /** What is open falls silent; what comes later is brought. @returns how many connections that were */
  readonly silence: () => number
}

export async function startSilentWire(t: Test, port: () => number): Promise<SilentWire> {
  const sockets = new Set<Socket>()
  const pairs = new Set<readonly [Socket, Socket]>()
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (agent) => {
    const server = connect({ port: port(), host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const pair = [agent, server] as const
    pairs.add(pair)
    for (const [one, other] of [pair, [server, agent] as const]) {
      sockets.add(one)
      one.on('error', () => undefined)
      one.once('close', () => {
        if (pairs.delete(pair)) other.destroy() // a silent one tells nobody
        sockets.delete(one)
      })
      one.pipe(other)
    }
  })
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    port: (listener.address() as AddressInfo).port,
    silence() {
      const silenced = pairs.size
      for (const [agent, server] of pairs) {
        agent.unpipe(server)
        server.unpipe(agent)
        for (const socket of [agent, server]) socket.resume()
      }
      pairs.clear()
      return silenced
    },
  }
}
