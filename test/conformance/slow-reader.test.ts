/** Clients that do not read, behind konnectivity's agents: they are closed, alone and counted, and everybody else goes on. */
import t from 'tap'
import { makePki } from '../integration/certificates.ts'
import { echoOver, endOf, openTunnel } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { figure } from '../integration/figures.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { expectedHash, receiveAll, sendAll } from '../integration/transfer.ts'
import { startServer, TRANSPORTS } from '../integration/tunnel.ts'
import { agentOf } from './programs-of.ts'

const MEBIBYTE = 1024 * 1024
const SLOW = 3
/** More than the kernel and the buffer of one connection hold. */
const flood = Buffer.alloc(32 * MEBIBYTE)
const BULK_BYTES = 16 * MEBIBYTE
const FORCED = 'culvert_server_forced_closes_total{reason="slow_consumer"}'
const RESETS = 'culvert_server_connection_ends_total{how="reset"}'
const pki = await makePki(t)
const target = await listenTarget(t, echo)
const flooding = await listenTarget(t, (socket) => void socket.end(flood))
const source = await listenTarget(t, (socket) => void sendAll(socket, BULK_BYTES))
t.setTimeout(120_000)

for (const release of ['v0.36.0', 'v0.31.4'] as const) {
  for (const transport of TRANSPORTS) {
    t.test(`${release}, ${transport}: slow readers are closed alone`, async (t) => {
      const flags = ['--connection-buffer-bytes=1MiB', '--slow-consumer-time=2s']
      const server = await startServer(t, { pki, transport, flags })
      await agentOf(t, release, server)
      await eventually(
        'the agent is there',
        () => server.log.filter(({ msg }) => msg === 'agent connected').length,
        (count) => count === 1,
      )
      const healthy = await openTunnel(server, target.address)
      await echoOver(healthy, 'before')
      const slow = await Promise.all(Array.from({ length: SLOW }, () => openTunnel(server, flooding.address)))
      for (const socket of slow) socket.on('error', () => undefined)
      await eventually(
        'the slow ones are closed',
        () => figure(server, FORCED),
        (count) => count === SLOW,
        60_000,
      )
      await echoOver(healthy, 'after')
      const reader = await openTunnel(server, source.address)
      t.strictSame(await receiveAll(reader), { bytes: BULK_BYTES, hash: expectedHash(BULK_BYTES) })
      await echoOver(healthy, 'and still')
      await Promise.all(slow.map(endOf))
      t.equal(await figure(server, RESETS), SLOW, 'nobody else was')
      t.equal(await figure(server, FORCED), SLOW)
      for (const socket of [healthy, reader]) socket.destroy()
    })
  }
}
