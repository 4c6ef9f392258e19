/** A wire between an agent and its server that can be cut: it tells lanes from streams by what their ClientHello asks for. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { LANE_ALPN } from '../../src/tunnel/lane.ts'
import { openLanes } from './both-ways.ts'
import { event } from './deadline.ts'
import { type ServerOptions, startAgent, startServer, type Tunnel } from './tunnel.ts'

export type Wire = {
  /** Breaks it for both ends at once. */
  readonly cut: () => void
  /** Brings nothing to either end any more, as a firewall that drops everything. */
  readonly silence: () => void
  /** Both ends together have sent so many bytes. */
  readonly bytes: () => number
}

export type LaneBreaker = {
  readonly port: number
  /** The lanes that are open, the oldest first. */
  readonly lanes: () => readonly Wire[]
  /** Lanes there have been. */
  readonly opened: () => number
}

/** A tunnel whose lanes are open, over such wires. */
export async function startBreakableTunnel(
  t: Test,
  lanes: number,
  options: ServerOptions,
  agentFlags: readonly string[] = [],
): Promise<Tunnel & { readonly breaker: LaneBreaker }> {
  const server = await startServer(t, options)
  const breaker = await startLaneBreaker(t, () => server.agentPort)
  const flags = [`--lanes=${lanes}`, ...agentFlags]
  const agent = await startAgent(t, { ...server, agentPort: breaker.port }, { flags })
  await openLanes(t, { server, agent }, lanes)
  return { server, agent, breaker }
}

async function startLaneBreaker(t: Test, serverPort: () => number): Promise<LaneBreaker> {
  const lanes = new Set<Wire>()
  const sockets = new Set<Socket>()
  let opened = 0
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (agent) => {
    const server = connect({ port: serverPort(), host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    let bytes = 0
    const wire: Wire = {
      cut: () => both((socket) => socket.resetAndDestroy()),
      silence() {
        agent.unpipe()
        server.unpipe()
        agent.resume()
        server.resume()
      },
      bytes: () => bytes,
    }
    const both = (act: (socket: Socket) => void): void => [agent, server].forEach(act)
    both((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      socket.once('close', () => {
        sockets.delete(socket)
        lanes.delete(wire)
        both((it) => it.destroy())
      })
    })
    agent.once('data', (hello: Buffer) => {
      if (!hello.includes(LANE_ALPN)) return
      opened++
      lanes.add(wire)
    })
    agent.pipe(server).pipe(agent)
  })
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (listener.address() as AddressInfo).port, lanes: () => [...lanes], opened: () => opened }
}
