/** What clients send and nobody takes is bounded for all of them together; who is served goes on. */
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Int64 } from '../../src/tunnel/packet.ts'
import { makePki } from './certificates.ts'
import { connectFrontend, connectHead, echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { figure } from './figures.ts'
import { type Server, startServer } from './tunnel.ts'
import { joinWireAgent } from './wire-agent.ts'
import { joinFrontend, openCall } from './wire-call.ts'

const MEBIBYTE = 1024 * 1024
const CLIENTS = 600
const LIMIT_BYTES = 16 * MEBIBYTE
/** More than credit, the server and the kernel take of one client: it stalls. */
const UPLOAD = Buffer.alloc(768 * 1024)
const READS = '10.0.0.1:1'
const STALLS = '10.0.0.1:2'
const flags = [`--process-buffer-bytes=${LIMIT_BYTES}`, `--stream-buffer-bytes=${LIMIT_BYTES}`]
const FORCED = 'culvert_server_forced_closes_total{reason="over_budget"}'
const BUFFERED = 'culvert_server_buffered_bytes'

const pki = await makePki(t)

/** An agent whose targets take nothing, but for one that sends all back. */
async function stallingAgent(t: Test, server: Server): Promise<void> {
  const agent = await joinWireAgent(t, server, { 'culvert-extensions': 'flow-control/1,half-close/1' })
  const reading = new Set<Int64>()
  let connectId = 0
  agent.onPacket((packet) => {
    if (packet.type === 'DIAL_REQ') {
      connectId++
      if (packet.address === READS) reading.add(connectId)
      agent.send({ type: 'DIAL_RSP', error: '', connectId, random: packet.random })
    }
    if (packet.type !== 'DATA' || !reading.has(packet.connectId)) return
    agent.send({ type: 'WINDOW_UPDATE', connectId: packet.connectId, credit: packet.data.length }, packet)
  })
}

async function isBounded(t: Test, server: Server): Promise<void> {
  await eventually(
    'some were closed',
    () => figure(server, FORCED),
    (closed) => closed > 0,
  )
  await eventually(
    'what is held is within the limit',
    () => figure(server, BUFFERED),
    (bytes) => bytes <= LIMIT_BYTES,
  )
  const held = await figure(server, BUFFERED)
  t.ok(held > LIMIT_BYTES / 2, `${held} bytes are held: no more were closed than had to be`)
  const closed = await figure(server, FORCED)
  t.ok(closed < CLIENTS - LIMIT_BYTES / (512 * 1024), `${closed} were closed`)
}

t.test('http-connect: clients whose targets take nothing are closed when they hold too much', async (t) => {
  const server = await startServer(t, { transport: 'uds', pki, flags })
  await stallingAgent(t, server)
  const healthy = await openTunnel(server, READS)
  const stalled: Socket[] = []
  t.teardown(() => stalled.forEach((socket) => void socket.destroy()))
  while (stalled.length < CLIENTS) {
    const socket = await openTunnel(server, STALLS)
    socket.on('error', () => undefined)
    socket.write(UPLOAD)
    stalled.push(socket)
  }
  await isBounded(t, server)
  await echoOver(healthy, 'still there')
  healthy.destroy()
})

t.test('http-connect: what clients send before their targets answer counts as well', async (t) => {
  const server = await startServer(t, { transport: 'uds', pki, flags })
  await joinWireAgent(t, server)
  const waiting: Socket[] = []
  t.teardown(() => waiting.forEach((socket) => void socket.destroy()))
  while (waiting.length < CLIENTS) {
    const socket = await connectFrontend(server)
    socket.on('error', () => undefined)
    socket.write(Buffer.concat([Buffer.from(connectHead(STALLS)), Buffer.alloc(60_000)]))
    waiting.push(socket)
  }
  await isBounded(t, server)
})

t.test('grpc: calls whose targets take nothing are ended when they hold too much', async (t) => {
  const server = await startServer(t, { transport: 'uds', pki, flags: ['--mode=grpc', ...flags] })
  await stallingAgent(t, server)
  const healthy = openCall(await joinFrontend(t, server))
  const id = await healthy.dial(READS)
  const http = await joinFrontend(t, server)
  for (let count = 0; count < CLIENTS; count++) {
    const call = openCall(http)
    call.stream.on('error', () => undefined)
    const stalledId = await call.dial(STALLS)
    for (let sent = 0; sent < UPLOAD.length; sent += 64 * 1024) {
      call.sendData(stalledId, UPLOAD.subarray(sent, sent + 64 * 1024))
    }
  }
  await isBounded(t, server)
  healthy.sendData(id, Buffer.from('still there'))
  t.equal((await healthy.data(id, 11)).toString(), 'still there')
})
