/** Those who do not read cost their own windows and nobody else anything. */
import type { Socket } from 'node:net'
import t from 'tap'
import { onStream, overLanes, startTunnelOnWay, WAYS } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { figure, untilStill } from './figures.ts'
import { echo, idle, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import type { Server } from './tunnel.ts'

/** Over TCP the kernel takes 4 MiB for each before it stalls, so there they are fewer. */
const STALLED = { tls: 40, uds: 200 } as const
const MEBIBYTE = 1024 * 1024
/** What each stalled connection would carry: more than kernel and windows hold, 12 MiB when nothing else runs. */
const flood = Buffer.alloc(32 * MEBIBYTE, 'flood')
const HEALTHY_BYTES = 16 * MEBIBYTE
const hash = expectedHash(HEALTHY_BYTES)
/** Who takes nothing for this long is called stalled, with room for a busy machine. */
const STALLED_MS = 1_500
const FROM_AGENT = 'culvert_server_payload_bytes_total{segment="from_agent"}'
/** Room for the windows of all who stall, which have grown by the time that the kernel's buffers are full. */
const flags = ['--stream-buffer-bytes=1GiB', '--process-buffer-bytes=1GiB']

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => void sendAll(socket, HEALTHY_BYTES))

for (const [transport, way] of [
  ['tls', onStream],
  ['uds', onStream],
  ['uds', overLanes],
] as const) {
  const name = `${transport}${way.over}`
  t.test(`${name}: ${STALLED[transport]} clients that never read do not hold up one that does`, async (t) => {
    const { server, since, moves } = await startTunnelOnWay(t, way, { transport, pki, flags }, { flags })
    const writers: Socket[] = []
    const flooding = await listenTarget(t, (socket) => {
      writers.push(socket)
      socket.end(flood)
    })
    const stalled = await openMany(server, flooding.address, STALLED[transport])
    t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
    await untilStill('the bytes from the agent', () => since('server', FROM_AGENT))

    const socket = await openTunnel(server, source.address)
    t.strictSame(await receiveAll(socket), { bytes: HEALTHY_BYTES, hash })
    socket.destroy()
    const other = await openTunnel(server, target.address)
    for (let round = 0; round < 100; round++) await echoOver(other, 'still quick')
    other.destroy()

    t.equal(writers.filter((writer) => writer.writableLength > 0).length, stalled.length, 'all the others were stalled')
    const [late] = stalled
    t.match(await receiveAll(late!), { bytes: flood.length }, 'who begins to read gets everything')
    t.equal((await moves('from_agent')) > 0, way.lanes > 0)
  })
}

for (const way of WAYS) {
  const { over, lanes } = way

  t.test(`${STALLED.tls} targets that never read do not hold up one that does${over}`, async (t) => {
    const { server, since, moves } = await startTunnelOnWay(t, way, { transport: 'uds', pki }, { flags })
    const stuck = await listenTarget(t, idle)
    const stalled = await openMany(server, stuck.address, STALLED.tls)
    t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
    for (const socket of stalled) socket.end(flood)
    await untilStill('the bytes to targets', () =>
      since('agent', 'culvert_agent_payload_bytes_total{segment="to_agent"}'),
    )

    const socket = await openTunnel(server, target.address)
    const [received] = await Promise.all([receiveAll(socket), sendAll(socket, HEALTHY_BYTES)])
    t.strictSame(received, { bytes: HEALTHY_BYTES, hash })
    socket.destroy()

    t.equal(stalled.filter((client) => client.writableLength > 0).length, stalled.length, 'all the others were stalled')
    const [late] = stuck.sockets
    t.match(await receiveAll(late!), { bytes: flood.length }, 'who begins to read gets everything')
    t.equal((await moves('to_agent')) > 0, lanes > 0)
  })

  t.test(
    `at the limit of what is held, those who hold most are closed and one that reads goes on${over}`,
    async (t) => {
      const limit = 4 * MEBIBYTE
      const { server, since, moves } = await startTunnelOnWay(t, way, {
        transport: 'uds',
        pki,
        flags: [`--stream-buffer-bytes=${limit}`, '--connection-buffer-bytes=1MiB'],
      })
      const flooding = await listenTarget(t, (socket) => void socket.end(flood))
      const stalled = await openMany(server, flooding.address, STALLED.uds)
      t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
      await untilStill('the bytes from the agent', () => since('server', FROM_AGENT), STALLED_MS)
      const socket = await openTunnel(server, source.address)
      t.strictSame(await receiveAll(socket), { bytes: HEALTHY_BYTES, hash })
      socket.destroy()
      const broken = await figure(server, 'culvert_server_connection_ends_total{how="reset"}')
      t.ok(broken > 0 && broken < stalled.length, `${broken} of ${stalled.length} were closed`)
      t.ok((await figure(server, 'culvert_server_buffered_bytes')) <= limit)
      t.equal((await moves('from_agent')) > 0, lanes > 0)
    },
  )

  t.test(`a client that pauses for a while loses nothing${over}`, async (t) => {
    const { server, since, moves } = await startTunnelOnWay(t, way, { pki })
    const socket = await openTunnel(server, source.address)
    await untilStill('the bytes from the agent', () => since('server', FROM_AGENT))
    t.strictSame(await receiveAll(socket), { bytes: HEALTHY_BYTES, hash })
    socket.destroy()
    t.equal((await moves('from_agent')) > 0, lanes > 0)
  })
}

async function openMany(server: Server, address: string, count: number): Promise<Socket[]> {
  const sockets = await Promise.all(Array.from({ length: count }, () => openTunnel(server, address)))
  for (const socket of sockets) socket.on('error', () => undefined)
  return sockets
}
