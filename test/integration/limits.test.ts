/** Limits that flags set, at the running programs: who is over one is told so and counted, and the others go on. */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { askFor, connectFrontend, connectHead, echoOver, endOf, openTunnel, readAll } from './client.ts'
import { eventually } from './deadline.ts'
import { counts, figure, figureBecomes, SERVER } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { type Server, startServer, startTunnel } from './tunnel.ts'
import { joinWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const tooMany = {
  status: 503,
  reason: 'Service Unavailable: too many dials are pending',
  headers: { 'retry-after': '1', 'proxy-status': /error=connection_limit_reached/ },
}

/** Clients whose dials nobody answers; so many are pending then. */
async function pendingDials(t: Test, server: Server, count: number, inAll: number): Promise<Socket[]> {
  const sockets = await Promise.all(Array.from({ length: count }, () => connectFrontend(server)))
  for (const socket of sockets) {
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined).write(connectHead('10.0.0.1:443'))
  }
  await figureBecomes(server, `${SERVER}pending_backend_dials`, inAll)
  return sockets
}

for (const limit of ['stream', 'frontend'] as const) {
  t.test(`a dial over --max-pending-dials-per-${limit} gets 503, and may come again`, async (t) => {
    const server = await startServer(t, { pki, flags: [`--max-pending-dials-per-${limit}=3`] })
    const agent = await joinWireAgent(t, server)
    const [first] = await pendingDials(t, server, 3, 3)
    await counts(server, `culvert_server_refused_dials_total{limit="${limit}"}`, 1, async () => {
      t.match(await askFor(server, target.address), tooMany)
    })
    first!.destroy()
    await figureBecomes(server, `${SERVER}pending_backend_dials`, 2)
    await pendingDials(t, server, 1, 3)
    await eventually(
      'four dials have come to the agent',
      () => agent.received.filter(({ type }) => type === 'DIAL_REQ').length,
      (dials) => dials === 4,
    )
  })
}

t.test('the dials of one client identity do not use up those of another', async (t) => {
  const server = await startServer(t, { pki, flags: ['--max-pending-dials-per-frontend=2'] })
  const agent = await joinWireAgent(t, server)
  await pendingDials(t, server, 2, 2)
  const alice = await connectFrontend(server, await pki.issue('alice', { identity: { role: 'user', name: 'alice' } }))
  t.teardown(() => alice.destroy())
  alice.write(connectHead('10.0.0.2:443'))
  for (let count = 0; count < 2; count++) await agent.next('DIAL_REQ')
  t.match(await agent.next('DIAL_REQ'), { address: '10.0.0.2:443' })
})

t.test('a connection over --max-connections-per-stream gets 503, and one that ends makes room', async (t) => {
  const { server } = await startTunnel(t, { pki, flags: ['--max-connections-per-stream=2'] })
  const [first, second] = [await openTunnel(server, target.address), await openTunnel(server, target.address)]
  await counts(server, 'culvert_server_refused_dials_total{limit="stream"}', 1, async () => {
    t.match(await askFor(server, target.address), { status: 503 })
  })
  first.destroy()
  await figureBecomes(server, `${SERVER}established_connections`, 1)
  const third = await openTunnel(server, target.address)
  await echoOver(third, 'room')
  await echoOver(second, 'still')
  for (const socket of [second, third]) socket.destroy()
})

t.test('a client is read no further than --early-data-bytes while its target is dialled', async (t) => {
  const server = await startServer(t, { pki, transport: 'uds', flags: ['--early-data-bytes=4KiB'] })
  const agent = await joinWireAgent(t, server)
  const socket = await connectFrontend(server)
  t.teardown(() => socket.destroy())
  const early = Buffer.alloc(4 * 1024 * 1024, 'early')
  socket.write(connectHead('10.0.0.1:443'))
  const { random } = await agent.next('DIAL_REQ')
  socket.write(early)
  await figure(server, 'process_start_time_seconds') // by the time this is answered it could have read on
  t.ok(socket.writableLength > 0, 'most of it waits at the client')
  agent.send({ type: 'DIAL_RSP', error: '', connectId: 1, random })
  const sent = (): number =>
    agent.received.reduce((sum, packet) => sum + (packet.type === 'DATA' ? packet.data.length : 0), 0)
  await eventually('all of it arrives', sent, (bytes) => bytes === early.length)
})

t.test('--max-message-bytes holds for what agents send', async (t) => {
  const server = await startServer(t, { pki, flags: ['--max-message-bytes=64KiB'] })
  const first = await joinWireAgent(t, server)
  first.sendMessage(Buffer.alloc(65_536, 0xff))
  t.match(await first.ended(), { code: 13 }, 'one of that length is read, and found to be none')
  const second = await joinWireAgent(t, server)
  second.sendMessage(Buffer.alloc(65_537))
  t.match(await second.ended(), { code: 8, message: /a message of 65537 bytes is over the limit of 65536$/ })
})

t.test('--connect-head-bytes holds for the head of a CONNECT', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags: ['--connect-head-bytes=64'] })
  const socket = await connectFrontend(server)
  socket.end(`CONNECT ${target.address} HTTP/1.1\r\n\r\nhello`)
  t.match((await readAll(socket)).toString(), /hello$/)
  socket.destroy()
  t.match(await askFor(server, 'a-host-with-a-long-name.example:443'), { status: 431, reason: /limit of 64 bytes/ })
})

t.test(
  'handshakes on the agent port begin at a bounded rate, and who would wait too long is turned away',
  async (t) => {
    const flags = ['--handshakes-per-second=2', '--tls-handshake-timeout=3s']
    const { server, agent } = await startTunnel(t, { pki, flags })
    const open = await openTunnel(server, target.address)
    // Two at most begin at once and five may wait, which is no longer than 2.5 s: of twelve the others are turned away.
    const sockets = Array.from({ length: 12 }, () => connect(server.agentPort, '127.0.0.1'))
    for (const socket of sockets) t.teardown(() => socket.destroy())
    await Promise.all(sockets.map((socket) => endOf(socket)))
    t.ok((await figure(server, 'culvert_server_failed_handshakes_total{port="agent",why="too_many"}')) >= 4)
    await echoOver(open, 'who is in stays')
    open.destroy()
    t.equal(agent.log.filter(({ msg }) => msg === 'disconnected').length, 0)
  },
)
