/** gRPC mode: calls that share an HTTP/2 connection, or an agent, do not wait for each other. */

import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { figure, figureBecomes, SERVER, untilStill } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, sendAll } from './transfer.ts'
import { startServer, startTunnel } from './tunnel.ts'
import { allExtensions, joinWireAgent, type WireAgent } from './wire-agent.ts'
import { dialRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const KIB = 1024
const MEBIBYTE = 1024 * KIB
const HEALTHY_BYTES = 16 * MEBIBYTE
/** The HTTP/2 window of a call; that of its connection is 64 MiB. */
const CALL_WINDOW_BYTES = 256 * KIB
const STALLED_CALLS = 300
/** The first credit of a connection, and one read. */
const MOST_SENT_BYTES = 192 * KIB
const ROUND_TRIPS = 100
/** Of all downloads together, before their shares are compared: of little one read too many is a large part. */
const SHARED_BYTES = 64 * MEBIBYTE

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => void sendAll(socket, HEALTHY_BYTES))
const flooding = await listenTarget(t, flood)
const { server } = await startTunnel(t, { pki, flags: ['--mode=grpc'] })
const frugal = await startServer(t, {
  pki,
  transport: 'uds',
  flags: [
    '--mode=grpc',
    '--connection-buffer-bytes=64KiB',
    '--slow-consumer-time=500ms',
    '--slow-consumer-bytes=64KiB',
  ],
})

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)

/** Sends for as long as somebody takes it. */
function flood(socket: Socket): void {
  const chunk = Buffer.alloc(64 * KIB)
  const fill = (): void => {
    while (socket.write(chunk));
  }
  socket.on('drain', fill)
  fill()
}

async function healthy(t: Test, call: WireCall): Promise<void> {
  const id = await call.dial(target.address)
  for (let round = 0; round < ROUND_TRIPS; round++) await echoOver(call, id, `round ${round}`)
  const bulk = openCall(call.http)
  const bytes = await bulk.data(await bulk.dial(source.address), HEALTHY_BYTES)
  t.equal(createHash('sha256').update(bytes).digest('hex'), expectedHash(HEALTHY_BYTES))
  call.stream.end()
  bulk.stream.end()
}

t.test('8 bulk downloads on an HTTP/2 connection share it evenly, and leave room for round trips', async (t) => {
  const http = await joinFrontend(t, server)
  const downloads = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const call = openCall(http)
      const download = { call, bytes: 0 }
      call.take = (_id, bytes) => {
        download.bytes += bytes.length
      }
      await call.dial(flooding.address)
      return download
    }),
  )
  await eventually('all have begun', () => downloads.every(({ bytes }) => bytes > MEBIBYTE), Boolean)
  const before = downloads.map(({ bytes }) => bytes)
  const call = openCall(http)
  const id = await call.dial(target.address)
  const startMs = performance.now()
  for (let round = 0; round < ROUND_TRIPS; round++) await echoOver(call, id, `round ${round}`)
  const meanMs = (performance.now() - startMs) / ROUND_TRIPS
  const gotNow = (): number[] => downloads.map(({ bytes }, index) => bytes - before[index]!)
  const got = await eventually('there is enough to compare', gotNow, (all) => sum(all) >= SHARED_BYTES)
  t.comment(
    `${Math.round(meanMs * 10) / 10} ms for a round trip beside ${got.map((bytes) => Math.round(bytes / MEBIBYTE))} MiB`,
  )
  t.ok(Math.min(...got) * 4 > Math.max(...got), 'none has less than a quarter of what another one has')
  http.destroy()
  await figureBecomes(server, `${SERVER}established_connections`, 0)
})

t.test('a call that is never read costs its own window, and its neighbours on the connection nothing', async (t) => {
  const http = await joinFrontend(t, server)
  const stalled = openCall(http)
  await stalled.dial(flooding.address)
  stalled.stream.pause()
  await untilStill('the bytes from the agent', () =>
    figure(server, 'culvert_server_payload_bytes_total{segment="from_agent"}'),
  )
  await healthy(t, openCall(http))
  t.ok((await figure(server, 'culvert_server_buffered_bytes')) < 4 * MEBIBYTE)
  http.destroy()
  await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
})

t.test(
  'calls whose targets take nothing, more than their connection has a window for, do not hold it up',
  async (t) => {
    const agent = await joinWireAgent(t, frugal, allExtensions) // which grants nothing
    const http = await joinFrontend(t, frugal)
    const bytes = Buffer.alloc(CALL_WINDOW_BYTES + MOST_SENT_BYTES)
    for (let id = 1; id <= STALLED_CALLS; id++) {
      const call = openCall(http)
      await connect(agent, call, id)
      for (let at = 0; at < bytes.length; at += 64 * KIB) call.sendData(id, bytes.subarray(at, at + 64 * KIB))
    }
    await figureBecomes(frugal, `${SERVER}full_receive_channels{service_method="Proxy"}`, STALLED_CALLS)
    const other = openCall(http)
    await connect(agent, other, STALLED_CALLS + 1)
    await roundTrips(agent, other, STALLED_CALLS + 1)
    http.destroy()
    await figureBecomes(frugal, `${SERVER}established_connections`, 0)
    await figureBecomes(frugal, `${SERVER}full_receive_channels{service_method="Proxy"}`, 0)
    await agent.leave()
  },
)

t.test(
  'a call that is never read is closed alone where a stock agent brings its bytes, and the others go on',
  async (t) => {
    const agent = await joinWireAgent(t, frugal)
    const http = await joinFrontend(t, frugal)
    const [stalled, other] = [openCall(http), openCall(http)]
    await connect(agent, stalled, 1)
    await connect(agent, other, 2)
    stalled.stream.pause()
    const flood = { type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(64 * KIB) } as const
    for (let count = 0; count < 128; count++) agent.send(flood)
    await roundTrips(agent, other, 2)
    await figureBecomes(frugal, 'culvert_server_forced_closes_total{reason="slow_consumer"}', 1)
    stalled.stream.resume()
    t.match(await stalled.next('CLOSE_RSP'), { error: 'slow-consumer' })
    await figureBecomes(frugal, 'culvert_server_buffered_bytes', 0)
    await agent.leave()
  },
)

/** The agent made by hand sends back what comes. */
async function roundTrips(agent: WireAgent, call: WireCall, id: number): Promise<void> {
  let bytes = 0
  for (let round = 0; round < ROUND_TRIPS; round++) {
    const text = Buffer.from(`round ${round}`)
    call.sendData(id, text)
    const data = await dataFor(agent, id)
    agent.send({ type: 'DATA', connectId: id, error: '', data })
    bytes += text.length
    await call.data(id, bytes)
  }
}

async function dataFor(agent: WireAgent, id: number): Promise<Uint8Array> {
  for (;;) {
    const { connectId, data } = await agent.next('DATA')
    if (connectId === id) return data
  }
}

/** A connection through an agent made by hand. */
async function connect(agent: WireAgent, call: WireCall, id: number): Promise<void> {
  call.send(dialRequest('10.0.0.1:80', id))
  const { random } = await agent.next('DIAL_REQ')
  agent.send({ type: 'DIAL_RSP', error: '', connectId: id, random })
  await call.next('DIAL_RSP')
}
