/** Bytes through the running programs, both ways, over both frontends: all of them, in order, once. */
import type { Socket } from 'node:net'
import t from 'tap'
import { proveWay, startTunnelsOnBothWays } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel, readAll } from './client.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'

const BULK_BYTES = 64 * 1024 * 1024
const hash = expectedHash(BULK_BYTES)
const pki = await makePki(t)
const target = await listenTarget(t, echo)
const sinks = new Map<Socket, Promise<unknown>>()
const sink = await listenTarget(t, (socket) => sinks.set(socket, receiveAll(socket)))
const source = await listenTarget(t, (socket) => void sendAll(socket, BULK_BYTES))

for (const tunnel of await startTunnelsOnBothWays(t, { pki })) {
  const { server, name } = tunnel

  t.test(`${name}: a target gives back what it is sent, early bytes first`, async (t) => {
    const socket = await openTunnel(server, target.address, 'early,')
    t.teardown(() => socket.destroy())
    socket.end('late')
    t.equal((await readAll(socket)).toString(), 'early,late')
  })

  t.test(`${name}: 64 MiB arrive unchanged at a target`, async (t) => {
    const accepted = sink.next()
    const socket = await openTunnel(server, sink.address)
    await sendAll(socket, BULK_BYTES)
    const received = sinks.get(await accepted)
    t.strictSame(await received, { bytes: BULK_BYTES, hash })
    socket.destroy()
  })

  t.test(`${name}: 64 MiB arrive unchanged from a target`, async (t) => {
    const socket = await openTunnel(server, source.address)
    t.strictSame(await receiveAll(socket), { bytes: BULK_BYTES, hash })
    socket.destroy()
  })

  t.test(`${name}: 16 MiB go both ways at once`, async (t) => {
    const bytes = BULK_BYTES / 4
    const socket = await openTunnel(server, target.address)
    const [received] = await Promise.all([receiveAll(socket), sendAll(socket, bytes)])
    t.strictSame(received, { bytes, hash: expectedHash(bytes) })
    socket.destroy()
  })

  t.test(`${name}: 200 connections at once each get their own bytes`, async (t) => {
    const sockets = await Promise.all(Array.from({ length: 200 }, () => openTunnel(server, target.address)))
    await Promise.all(sockets.map((socket, index) => echoOver(socket, `${index},`.repeat(1_000 + index))))
    t.equal(sockets.length, 200)
    for (const socket of sockets) socket.destroy()
  })

  proveWay(t, tunnel)
}
