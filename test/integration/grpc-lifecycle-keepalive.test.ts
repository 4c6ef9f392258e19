/** gRPC mode: a client that is there is asked now and then and stays; one that has stopped, whatever it was doing, is given up. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, figure, figureBecomes, SERVER } from './figures.ts'
import type { LoneFrontend } from './lone-client.ts'
import { type Stoppable, startStoppable } from './stoppable.ts'
import { echo, listenTarget, silent } from './target.ts'
import { type Server, startTunnel, TRANSPORTS } from './tunnel.ts'
import { echoOver, joinFrontend, openCall } from './wire-call.ts'

const KEEPALIVE_MS = 1_000
/** The server's, for the answer to a PING. */
const PING_TIMEOUT_MS = 20_000
/** For what the server does besides. */
const GRACE_MS = 15_000
const STOPPED = 3
const LONE_CLIENT = join(import.meta.dirname, 'lone-client.ts')

/** Nearly all of it is waiting. */
t.jobs = 2
const pki = await makePki(t)

function startClient(t: Test, server: Server, address: string): Promise<Stoppable> {
  const { authority, apiserver } = pki
  const to: LoneFrontend =
    server.transport === 'uds'
      ? { path: server.socketPath }
      : { port: server.frontendPort, ca: authority.certificatePem, cert: apiserver.cert, key: apiserver.key }
  return startStoppable(t, [LONE_CLIENT, JSON.stringify(to), address], 'the client has its connection')
}

const descriptors = (server: Server): number => readdirSync(`/proc/${server.pid}/fd`).length

for (const transport of TRANSPORTS) {
  t.test(
    `${transport}: clients that stop are given up in time, and one that only idles stays`,
    { buffered: true },
    async (t) => {
      const { server, agent } = await startTunnel(t, {
        pki,
        transport,
        flags: ['--mode=grpc', `--frontend-keepalive-time=${KEEPALIVE_MS}ms`],
      })
      const quiet = await listenTarget(t, silent)
      const chatty = await listenTarget(t, (socket) => {
        const timer = setInterval(() => socket.write('tick'), 50)
        socket.once('close', () => clearInterval(timer))
      })
      const flooding = await listenTarget(t, (socket) => {
        const fill = (): void => {
          while (socket.write(Buffer.alloc(65_536)));
        }
        socket.on('drain', fill)
        fill()
      })
      const target = await listenTarget(t, echo)
      const idle = openCall(await joinFrontend(t, server))
      const id = await idle.dial(target.address)
      await echoOver(idle, id, 'before')
      await figureBecomes(server, `${SERVER}established_connections`, 1)
      const before = descriptors(server)
      const clients = await Promise.all([quiet, chatty, flooding].map(({ address }) => startClient(t, server, address)))
      const targets = [quiet, chatty, flooding].flatMap(({ sockets }) => [...sockets])
      const ends = targets.map((socket) => new Promise<Error>((broken) => socket.resume().once('error', broken)))
      await figureBecomes(server, `${SERVER}established_connections`, STOPPED + 1)
      for (const { stop } of clients) stop()
      const startMs = performance.now()
      await eventually(
        'the connections of those that stopped are closed',
        () => figure(server, `${SERVER}established_connections`),
        (open) => open === 1,
        KEEPALIVE_MS + PING_TIMEOUT_MS + GRACE_MS,
      )
      t.ok(performance.now() - startMs > PING_TIMEOUT_MS - KEEPALIVE_MS, 'not before their time')
      const reset = { code: 'ECONNRESET' }
      t.match(await within(Promise.all(ends), 'their targets hear of it'), [reset, reset, reset])
      await eventually(
        'their HTTP/2 connections are closed',
        () => descriptors(server),
        (open) => open <= before,
      )
      await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
      await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 1)
      await echoOver(idle, id, 'one that idled for as long is served')
      for (const { cont } of clients) cont()
      await within(Promise.all(clients.map(({ ended }) => ended)), 'those that stopped find out when they go on')
    },
  )
}
