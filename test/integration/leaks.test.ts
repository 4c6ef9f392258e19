/** After thousands of connections of every kind of ending nothing is left: in tables, of descriptors, on the heap. */
import type { Socket } from 'node:net'
import t from 'tap'
import { makePki } from './certificates.ts'
import { connectFrontend, connectHead, endOf, openTunnel, readAll } from './client.ts'
import { event } from './deadline.ts'
import { AGENT, figure, figureBecomes, SERVER } from './figures.ts'
import { left, noMoreLeft, watched } from './left-behind.ts'
import { closedPort, echo, listenTarget } from './target.ts'
import { type Server, startTunnel, type Tunnel } from './tunnel.ts'

const AT_ONCE = 32

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const resets = await listenTarget(t, (socket) => void socket.once('data', () => socket.resetAndDestroy()))
const refuses = await closedPort()

/** How a connection may come to its end. */
const endings: readonly ((server: Server) => Promise<unknown>)[] = [
  async function finished(server) {
    const socket = await openTunnel(server, target.address)
    socket.end('hello')
    await readAll(socket)
    socket.destroy()
  },
  async function clientGone(server) {
    const socket = await openTunnel(server, target.address)
    socket.write('hello')
    await gone(socket)
  },
  async function targetResets(server) {
    const socket = await openTunnel(server, resets.address)
    const ended = endOf(socket)
    socket.write('hello')
    await ended
    socket.destroy()
  },
  (server) => answered(server, connectHead(refuses)),
  (server) => answered(server, 'GET / HTTP/1.1\r\n\r\n'),
  async function silentClient(server) {
    await gone(await connectFrontend(server))
  },
  async function gaveUpDialling(server) {
    const socket = await connectFrontend(server)
    await new Promise((sent) => socket.write(connectHead(target.address), sent))
    await gone(socket)
  },
]

async function answered(server: Server, bytes: string): Promise<void> {
  const socket = await connectFrontend(server)
  socket.write(bytes)
  await readAll(socket)
  socket.destroy()
}

async function gone(socket: Socket): Promise<void> {
  socket.destroy()
  await event(socket, 'close')
}

async function connections(server: Server, count: number): Promise<void> {
  let begun = 0
  const worker = async (): Promise<void> => {
    while (begun < count) await endings[begun++ % endings.length]!(server)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** Waits until everybody has noticed every end. */
async function settled({ server, agent }: Tunnel): Promise<void> {
  for (const gauge of ['http_connections', 'established_connections', 'pending_backend_dials']) {
    await figureBecomes(server, SERVER + gauge, 0)
  }
  await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
  await figureBecomes(agent, 'culvert_agent_buffered_bytes', 0)
}

for (const [transport, first, second] of [
  ['uds', 2_000, 8_000],
  ['tls', 500, 1_500],
] as const) {
  t.test(`${transport}: after ${first + second} connections there is no more left than after ${first}`, async (t) => {
    const tunnel = await startTunnel(t, { pki, transport, ...watched }, watched)
    const programs = [tunnel.server, tunnel.agent]
    await connections(tunnel.server, first)
    await settled(tunnel)
    const before = await Promise.all(programs.map(left))
    await connections(tunnel.server, second)
    await settled(tunnel)
    for (const [index, program] of programs.entries()) await noMoreLeft(t, program, before[index]!)
    t.ok((await figure(tunnel.server, 'culvert_server_connection_ends_total{how="finished"}')) > 0)
    t.ok((await figure(tunnel.server, 'culvert_server_connection_ends_total{how="reset"}')) > 0)
    t.ok((await figure(tunnel.server, `${SERVER}dial_failure_count{reason="frontend_close"}`)) > 0)
  })
}
