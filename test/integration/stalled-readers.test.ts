/** Those who do not read cost their own windows and nobody else anything. */
import type { Socket } from 'node:net'
import t from 'tap'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { figure, untilStill } from './figures.ts'
import { echo, idle, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { type Server, startTunnel, TRANSPORTS } from './tunnel.ts'

/** Over TCP the kernel takes 4 MiB for each before it stalls, so there they are fewer. */
const STALLED = { tls: 40, uds: 200 } as const
const MEBIBYTE = 1024 * 1024
/** What each stalled connection would carry: more than kernel and windows hold, 12 MiB when nothing else runs. */
const flood = Buffer.alloc(32 * MEBIBYTE, 'flood')
const HEALTHY_BYTES = 16 * MEBIBYTE
const hash = expectedHash(HEALTHY_BYTES)
/** Who takes nothing for this long is called stalled, with room for a busy machine. */
const STALLED_MS = 1_500
/** Room for the windows of all who stall, which have grown by the time that the kernel's buffers are full. */
const roomy = { flags: ['--stream-buffer-bytes=1GiB', '--process-buffer-bytes=1GiB'] }

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => void sendAll(socket, HEALTHY_BYTES))

for (const transport of TRANSPORTS) {
  t.test(`${transport}: ${STALLED[transport]} clients that never read do not hold up one that does`, async (t) => {
    const { server } = await startTunnel(t, { transport, pki, ...roomy })
    const writers: Socket[] = []
    const flooding = await listenTarget(t, (socket) => {
      writers.push(socket)
      socket.end(flood)
    })
    const stalled = await openMany(server, flooding.address, STALLED[transport])
    t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
    await untilStill('the bytes from the agent', () =>
      figure(server, 'culvert_server_payload_bytes_total{segment="from_agent"}'),
    )

    const socket = await openTunnel(server, source.address)
    t.strictSame(await receiveAll(socket), { bytes: HEALTHY_BYTES, hash })
    socket.destroy()
    const other = await openTunnel(server, target.address)
    for (let round = 0; round < 100; round++) await echoOver(other, 'still quick')
    other.destroy()

    t.equal(writers.filter((writer) => writer.writableLength > 0).length, stalled.length, 'all the others were stalled')
    const [late] = stalled
    t.match(await receiveAll(late!), { bytes: flood.length }, 'who begins to read gets everything')
  })
}

t.test(`${STALLED.tls} targets that never read do not hold up one that does`, async (t) => {
  const { server, agent } = await startTunnel(t, { transport: 'uds', pki }, roomy)
  const stuck = await listenTarget(t, idle)
  const stalled = await openMany(server, stuck.address, STALLED.tls)
  t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
  for (const socket of stalled) socket.end(flood)
  await untilStill('the bytes to targets', () => figure(agent, 'culvert_agent_payload_bytes_total{segment="to_agent"}'))

  const socket = await openTunnel(server, target.address)
  const [received] = await Promise.all([receiveAll(socket), sendAll(socket, HEALTHY_BYTES)])
  t.strictSame(received, { bytes: HEALTHY_BYTES, hash })
  socket.destroy()

  t.equal(stalled.filter((client) => client.writableLength > 0).length, stalled.length, 'all the others were stalled')
  const [late] = stuck.sockets
  t.match(await receiveAll(late!), { bytes: flood.length }, 'who begins to read gets everything')
})

t.test('at the limit of what is held, those who hold most are closed and one that reads goes on', async (t) => {
  const limit = 4 * MEBIBYTE
  const { server } = await startTunnel(t, {
    transport: 'uds',
    pki,
    flags: [`--stream-buffer-bytes=${limit}`, '--connection-buffer-bytes=1MiB'],
  })
  const flooding = await listenTarget(t, (socket) => void socket.end(flood))
  const stalled = await openMany(server, flooding.address, STALLED.uds)
  t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
  const fromAgent = 'culvert_server_payload_bytes_total{segment="from_agent"}'
  await untilStill('the bytes from the agent', () => figure(server, fromAgent), STALLED_MS)
  const socket = await openTunnel(server, source.address)
  t.strictSame(await receiveAll(socket), { bytes: HEALTHY_BYTES, hash })
  socket.destroy()
  const broken = await figure(server, 'culvert_server_connection_ends_total{how="reset"}')
  t.ok(broken > 0 && broken < stalled.length, `${broken} of ${stalled.length} were closed`)
  t.ok((await figure(server, 'culvert_server_buffered_bytes')) <= limit)
})

t.test('a client that pauses for a while loses nothing', async (t) => {
  const { server } = await startTunnel(t, { pki })
  const socket = await openTunnel(server, source.address)
  await untilStill('the bytes from the agent', () =>
    figure(server, 'culvert_server_payload_bytes_total{segment="from_agent"}'),
  )
  t.strictSame(await receiveAll(socket), { bytes: HEALTHY_BYTES, hash })
  socket.destroy()
})

async function openMany(server: Server, address: string, count: number): Promise<Socket[]> {
  const sockets = await Promise.all(Array.from({ length: count }, () => openTunnel(server, address)))
  for (const socket of sockets) socket.on('error', () => undefined)
  return sockets
}
