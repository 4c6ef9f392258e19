/** Bulk and small exchanges in one tunnel: what `docs/adr/0016` says is seen to be done, and costs no byte. */
import type { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { AGENT, figure, SERVER } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, type Received, receiveAll, sendAll } from './transfer.ts'
import { startTunnel } from './tunnel.ts'

const BULK_BYTES = 64 * 1024 * 1024
const whole = { bytes: BULK_BYTES, hash: expectedHash(BULK_BYTES) }
/** More than go with heartbeats, one in five seconds, and fewer than go in the tenth of a second that the bulk takes at least. */
const FEW = 5

const pki = await makePki(t)
const echoes = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => void sendAll(socket, BULK_BYTES))
const pingsTo = (segment: string): string => `stream_packets_total{segment="${segment}",packet_type="PING"}`

t.test('pings the way of small exchanges while a download goes on beside them, and brings all of both', async (t) => {
  const { server, agent } = await startTunnel(t, { transport: 'uds', pki })
  const small = await openTunnel(server, echoes.address)
  const bulk = await Promise.all([openTunnel(server, source.address), openTunnel(server, source.address)])
  await beside(small, Promise.all(bulk.map((socket) => receiveAll(socket))), [whole, whole], t)
  t.ok((await figure(agent, AGENT + pingsTo('from_agent'))) > FEW, 'the agent sends the bulk')
  small.destroy()
})

t.test('the same beside an upload, whose sender is the server', async (t) => {
  const { server } = await startTunnel(t, { transport: 'uds', pki })
  const received = Promise.withResolvers<Received>()
  const sink = await listenTarget(t, (socket) => void receiveAll(socket).then(received.resolve, received.reject))
  const small = await openTunnel(server, echoes.address)
  const upload = await openTunnel(server, sink.address)
  void sendAll(upload, BULK_BYTES)
  await beside(small, received.promise, whole, t)
  t.ok((await figure(server, SERVER + pingsTo('to_agent'))) > FEW, 'the server sends the bulk')
  small.destroy()
})

t.test('pings nothing for bulk alone', async (t) => {
  const { server, agent } = await startTunnel(t, { transport: 'uds', pki })
  t.strictSame(await receiveAll(await openTunnel(server, source.address)), whole)
  t.ok((await figure(agent, AGENT + pingsTo('from_agent'))) < FEW)
})

/** Small exchanges go on for as long as the bulk does. */
async function beside<T>(small: Duplex, bulk: Promise<T>, expected: T, t: Test): Promise<void> {
  let going = true
  const over = bulk.finally(() => {
    going = false
  })
  while (going) await echoOver(small, 'how long does this take')
  t.strictSame(await over, expected)
}
