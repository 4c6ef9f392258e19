/** SIGTERM: what is open goes on to its end, nothing new begins, the exit code says how it went; a second one ends now. */
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel, readAll } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { fetchFrom, figure } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { startTunnel, TRANSPORTS, type Transport, type Tunnel } from './tunnel.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 32 * MEBIBYTE
const hash = expectedHash(BULK_BYTES)
const whole = { bytes: BULK_BYTES, hash }
const piece = Buffer.alloc(128 * 1024, 'slow')
/** The target has something else to do, for far longer than the agent takes to end. */
const BUSY_MS = 500
const pki = await makePki(t)
const target = await listenTarget(t, echo)

type Who = keyof Tunnel
const ANNOUNCED = { server: 'shutting down', agent: 'draining' } as const

/** Both directions of one connection, stopped once some of the bytes have arrived. */
async function stopInTransfer(t: Test, who: Who, transport: Transport): Promise<void> {
  const tunnel = await startTunnel(t, { pki, transport })
  const socket = await openTunnel(tunnel.server, target.address)
  const received = receiveAll(socket)
  const sent = sendAll(socket, BULK_BYTES)
  await event(socket, 'data')
  tunnel[who].signal('SIGTERM')
  await tunnel[who].logged(ANNOUNCED[who])
  await sent
  t.strictSame(await received, whole)
  socket.destroy()
  t.strictSame(await tunnel[who].ended, { code: 0, signal: null })
}

for (const who of ['server', 'agent'] as const) {
  for (const transport of TRANSPORTS) {
    t.test(`${transport}: a transfer in both directions completes when the ${who} gets SIGTERM`, (t) =>
      stopInTransfer(t, who, transport),
    )
  }

  t.test(`with nothing open the ${who} ends at once on SIGTERM`, async (t) => {
    const tunnel = await startTunnel(t, { pki })
    tunnel[who].signal('SIGTERM')
    t.strictSame(await within(tunnel[who].ended, 'its end', 5_000), { code: 0, signal: null })
  })

  t.test(`the ${who}, on SIGTERM with an idle tunnel, is not ready any more and waits for its end`, async (t) => {
    const tunnel = await startTunnel(t, { pki })
    const socket = await openTunnel(tunnel.server, target.address)
    await echoOver(socket, 'before')
    tunnel[who].signal('SIGTERM')
    await tunnel[who].logged(ANNOUNCED[who])
    const ready = await fetchFrom(tunnel[who].healthPort, '/readyz')
    t.equal(ready.status, who === 'server' ? 500 : 503)
    t.match(await ready.text(), who === 'server' ? 'shutting down' : '[-]server-connected failed: draining')
    await echoOver(socket, 'after')
    socket.end()
    t.equal((await readAll(socket)).length, 0)
    socket.destroy()
    t.strictSame(await tunnel[who].ended, { code: 0, signal: null })
  })

  t.test(`a second SIGTERM ends the ${who} now, whatever is open`, async (t) => {
    const tunnel = await startTunnel(t, { pki })
    const socket = await openTunnel(tunnel.server, target.address)
    socket.on('error', () => undefined)
    tunnel[who].signal('SIGTERM')
    await tunnel[who].logged(ANNOUNCED[who])
    tunnel[who].signal('SIGTERM')
    t.strictSame(await within(tunnel[who].ended, 'its end', 5_000), { code: who === 'server' ? 1 : 0, signal: null })
    socket.destroy()
  })
}

t.test('signals that mean nothing to either program end neither, and open no door for a debugger', async (t) => {
  const tunnel = await startTunnel(t, { pki })
  for (const who of ['server', 'agent'] as const) {
    for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) tunnel[who].signal(signal)
  }
  const socket = await openTunnel(tunnel.server, target.address)
  await echoOver(socket, 'still there')
  for (const who of ['server', 'agent'] as const) {
    t.strictSame(tunnel[who].lines, [], 'Node says so where it lets a debugger in')
  }
  socket.destroy()
})

t.test('when its time for a shutdown is up, a server breaks what is open and ends', async (t) => {
  const { server } = await startTunnel(t, { pki, flags: ['--graceful-shutdown-timeout=200ms'] })
  const socket = await openTunnel(server, target.address)
  socket.on('error', () => undefined).resume()
  server.signal('SIGTERM')
  t.strictSame(await within(server.ended, 'its end', 5_000), { code: 0, signal: null })
  socket.destroy()
})

t.test('when its time for a drain is up, an agent breaks what is open and ends', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, transport: 'uds' }, { flags: ['--drain-timeout=200ms'] })
  const socket = await openTunnel(server, target.address)
  const ended = readAll(socket).catch((error: NodeJS.ErrnoException) => error.code)
  agent.signal('SIGTERM')
  t.strictSame(await within(agent.ended, 'its end', 5_000), { code: 0, signal: null })
  t.ok(await ended)
  socket.destroy()
})

t.test('an agent that drains writes out what a slow target has not read yet, before it ends', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, transport: 'uds' })
  const slow = await listenTarget(t, (socket) => void socket.end()) // over, for the tunnel, once the client has ended
  const accepted = slow.next()
  const socket = await openTunnel(server, slow.address)
  const reader = await accepted
  let sentBytes = 0
  let held = 0
  for (let heldFor = 0; heldFor < 10; heldFor = held > 0 ? heldFor + 1 : 0) {
    if (held === 0) {
      socket.write(piece)
      sentBytes += piece.length
      await eventually(
        'what was sent is at the agent',
        () => figure(agent, 'culvert_agent_payload_bytes_total{segment="to_agent"}'),
        (arrived) => arrived === sentBytes,
      )
    }
    held = await figure(agent, 'culvert_agent_buffered_bytes')
  }
  const closed = event(socket.resume(), 'close')
  socket.end()
  await closed
  agent.signal('SIGTERM')
  await agent.logged('draining')
  const received = await within(
    new Promise<Buffer>((resolve, reject) => {
      setTimeout(() => readAll(reader).then(resolve, reject), BUSY_MS)
    }),
    'the target reads',
  )
  t.equal(received.length, sentBytes)
  t.strictSame(await within(agent.ended, 'its end', 5_000), { code: 0, signal: null })
})
