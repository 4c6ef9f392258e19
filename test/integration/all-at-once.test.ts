/** Many tunnels that were silent and begin at once: each reads more than goes out, and nobody loses anything for that. */
import type { Socket } from 'node:net'
import t from 'tap'
import { makePki } from './certificates.ts'
import { openTunnel } from './client.ts'
import { figure } from './figures.ts'
import { listenTarget } from './target.ts'
import { expectedHash, type Received, receiveAll, sendAll } from './transfer.ts'
import { startTunnel } from './tunnel.ts'

const TUNNELS = 150
const BYTES = 512 * 1024
const hash = expectedHash(BYTES)
const whole: Received = { bytes: BYTES, hash }
/** One read of each of them is more than four times as much. */
const flags = ['--stream-buffer-bytes=4MiB']

const pki = await makePki(t)

t.test('targets that all begin to send at once are read in turn, and none is closed', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, transport: 'uds' }, { flags })
  const source = await listenTarget(t, (socket) => void socket.once('data', () => void sendAll(socket, BYTES)))
  const sockets: Socket[] = []
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()))
  while (sockets.length < TUNNELS) sockets.push(await openTunnel(server, source.address))
  const received = sockets.map((socket) => receiveAll(socket))
  for (const socket of sockets) socket.write('begin')
  for (const each of await Promise.all(received)) t.strictSame(each, whole)
  t.equal(await figure(agent, 'culvert_agent_buffered_bytes'), 0)
})

t.test('clients that all begin to send at once are read in turn, and none is closed', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags })
  const received: Promise<Received>[] = []
  const sink = await listenTarget(t, (socket) => void received.push(receiveAll(socket)))
  const sockets: Socket[] = []
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()))
  while (sockets.length < TUNNELS) sockets.push(await openTunnel(server, sink.address))
  await Promise.all(sockets.map((socket) => sendAll(socket, BYTES)))
  for (const each of await Promise.all(received)) t.strictSame(each, whole)
  t.equal(await figure(server, 'culvert_server_forced_closes_total{reason="over_budget"}'), 0)
})
