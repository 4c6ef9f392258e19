/** A connection that breaks must not look like one that ended: on neither side. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { startTunnelOnWay, type TunnelOnWay, WAYS } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { connectHead, echoOver, endOf, openTunnel, readBytes } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { figureBecomes, SERVER } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, sendPattern } from './transfer.ts'
import { type Server, type ServerOptions, startAgent, startTunnel, TRANSPORTS } from './tunnel.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 32 * MEBIBYTE
const STEP_BYTES = 256 * 1024
/** Less than a server and an agent read of it when the target does not: on a Unix socket a write that fails is the client's end. */
const INPUT_BYTES = 100 * 1024
const pki = await makePki(t)
const target = await listenTarget(t, echo)

type Ending = 'finished' | 'broken'

/** A tunnel whose end tells a TLS close_notify from a bare end of TCP, which Node's own client does not. */
async function watchedTunnel(
  t: Test,
  server: Server,
  address: string,
): Promise<{ readonly socket: Duplex; readonly wire: Socket; readonly ending: Promise<Ending> }> {
  const wire = connect(server.frontendPort, '127.0.0.1')
  t.teardown(() => wire.destroy())
  const ending = Promise.withResolvers<Ending>()
  const pipe = new Duplex({
    read: () => undefined,
    write: (chunk, _encoding, done) => void wire.write(chunk, () => done()),
  })
  wire.on('data', (chunk) => pipe.push(chunk))
  wire.on('error', () => undefined)
  wire.once('close', () => setImmediate(() => ending.resolve('broken'))) // what came before it has been read by then
  const socket = connectTls({
    socket: pipe,
    ca: pki.authority.certificatePem,
    cert: pki.apiserver.cert,
    key: pki.apiserver.key,
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  socket.once('end', () => ending.resolve('finished'))
  await event(socket, 'secureConnect')
  socket.write(connectHead(address))
  await within(once(socket, 'data'), 'the 200')
  socket.resume()
  return { socket, wire, ending: within(ending.promise, 'the end of a connection') }
}

for (const way of WAYS) {
  const { over, lanes } = way
  // Of one test each: an agent whose server died goes on knocking at its port, which may be somebody else's by then.
  const start = (t: Test, options: ServerOptions = {}): Promise<TunnelOnWay> =>
    startTunnelOnWay(t, way, { pki, ...options })

  t.test(`a target that ends gives the client a clean end${over}`, async (t) => {
    const { server, moves } = await start(t)
    const ends = await listenTarget(t, (socket) => socket.end(Buffer.alloc(4 * MEBIBYTE)))
    const { ending } = await watchedTunnel(t, server, ends.address)
    t.equal(await ending, 'finished')
    t.equal((await moves('from_agent')) > 0, lanes > 0)
  })

  t.test(`a target that resets its connection while it sends breaks the client’s${over}`, async (t) => {
    const tunnel = await start(t)
    const resets = await listenTarget(t, (socket) => {
      socket.once('data', () => socket.resetAndDestroy())
      flood(socket)
    })
    const { socket, ending } = await watchedTunnel(t, tunnel.server, resets.address)
    await hasGone(tunnel, 'from_agent')
    socket.write('go')
    t.equal(await ending, 'broken')
    await figureBecomes(tunnel.server, 'culvert_server_connection_ends_total{how="reset"}', 1)
  })

  t.test(`a client that resets its connection while it sends breaks the target’s${over}`, async (t) => {
    const tunnel = await start(t)
    const error = Promise.withResolvers<NodeJS.ErrnoException>()
    const reads = await listenTarget(t, (socket) => void socket.on('error', error.resolve).resume())
    const { socket, wire } = await watchedTunnel(t, tunnel.server, reads.address)
    flood(socket)
    await hasGone(tunnel, 'to_agent')
    wire.resetAndDestroy()
    t.match(await within(error.promise, 'an error at the target'), { code: 'ECONNRESET' })
  })

  for (const transport of TRANSPORTS) {
    t.test(`${transport}: what a target sent before it reset its connection arrives${over}`, async (t) => {
      const tunnel = await start(t, { transport })
      const { server, since } = tunnel
      const accepted = Promise.withResolvers<Socket>()
      const resets = await listenTarget(t, (socket) => {
        accepted.resolve(socket) // which reads nothing: that makes its end a reset in any case
        void sendPattern(socket, BULK_BYTES).catch(() => undefined)
      })
      const socket = await openTunnel(server, resets.address)
      t.teardown(() => socket.destroy())
      const ended = event(socket, 'end')
      const reader = readInSteps(socket)
      if (transport === 'tls') flood(socket)
      else socket.write(Buffer.alloc(INPUT_BYTES))
      const sent = (): Promise<number> => since('agent', 'culvert_agent_payload_bytes_total{segment="from_agent"}')
      // As little as can be is read before the agent has it all: the rest is under way somewhere between it and us.
      for (let [before, now] = [-1, await sent()]; now < BULK_BYTES; [before, now] = [now, await sent()]) {
        if (now === before) reader.more(STEP_BYTES)
      }
      ;(await accepted.promise).resetAndDestroy()
      reader.more(BULK_BYTES)
      await eventually('all of it comes', reader.count, (bytes) => bytes >= BULK_BYTES)
      t.strictSame([reader.count(), reader.hash()], [BULK_BYTES, expectedHash(BULK_BYTES)])
      await ended
      await figureBecomes(server, 'culvert_server_connection_ends_total{how="reset"}', 1)
    })

    t.test(`${transport}: a target that goes on sending to a client that is gone is stopped${over}`, async (t) => {
      const tunnel = await start(t, { transport })
      const error = Promise.withResolvers<NodeJS.ErrnoException>()
      const flooding = await listenTarget(t, (socket) => {
        socket.on('error', error.resolve)
        flood(socket)
      })
      const socket = await openTunnel(tunnel.server, flooding.address)
      socket.resume()
      await hasGone(tunnel, 'from_agent')
      socket.destroy()
      t.match(await within(error.promise, 'an error at the target'), { code: /^(ECONNRESET|EPIPE)$/ })
      await figureBecomes(tunnel.server, `${SERVER}established_connections`, 0)
    })
  }

  t.test(`an agent that dies in a transfer breaks the client's connection, the next agent serves${over}`, async (t) => {
    const tunnel = await start(t)
    const { server, agent } = tunnel
    const flooding = await listenTarget(t, flood)
    const { ending } = await watchedTunnel(t, server, flooding.address)
    await hasGone(tunnel, 'from_agent')
    agent.signal('SIGKILL')
    t.equal(await ending, 'broken')
    await figureBecomes(server, `${SERVER}established_connections`, 0)
    await figureBecomes(server, `${SERVER}ready_backends{proxy_strategy="default"}`, 0)
    await figureBecomes(server, 'culvert_server_open_lanes', 0)
    await startAgent(t, server)
    const next = await openTunnel(server, target.address)
    await echoOver(next, 'served again')
    next.destroy()
  })

  t.test(`a server that dies in a transfer breaks the target’s connection${over}`, async (t) => {
    const tunnel = await start(t)
    const { server, agent } = tunnel
    const broken = Promise.withResolvers<NodeJS.ErrnoException>()
    const reads = await listenTarget(t, (socket) => {
      socket.on('error', broken.resolve)
      socket.on('end', () => broken.reject(new Error('a clean end')))
      socket.resume()
    })
    const socket = await openTunnel(server, reads.address)
    socket.on('error', () => undefined)
    flood(socket)
    await hasGone(tunnel, 'to_agent')
    server.signal('SIGKILL')
    t.match(await within(broken.promise, 'an error at the target'), { code: 'ECONNRESET' })
    await agent.logged('disconnected')
    socket.destroy()
  })

  t.test(`on a Unix socket an agent that dies in a transfer ends the connection at once${over}`, async (t) => {
    const tunnel = await start(t, { transport: 'uds' })
    const flooding = await listenTarget(t, flood)
    const socket = await openTunnel(tunnel.server, flooding.address)
    const ended = endOf(socket)
    await hasGone(tunnel, 'from_agent')
    tunnel.agent.signal('SIGKILL')
    await ended
    await eventually(
      'the target hears of it',
      () => flooding.sockets.size,
      (open) => open === 0,
    )
    t.pass('ended; a Unix socket knows no reset that tells the reader so')
  })
}

t.test('what a client sent before it reset its connection arrives', async (t) => {
  const { server } = await startTunnel(t, { pki })
  const sent = randomBytes(48 * 1024) // the kernel of a target that reads nothing takes as much
  const accepted = Promise.withResolvers<Socket>()
  const reads = await listenTarget(t, (socket) => accepted.resolve(socket.pause()))
  const { socket, wire } = await watchedTunnel(t, server, reads.address)
  socket.write(sent)
  await figureBecomes(server, 'culvert_server_payload_bytes_total{segment="to_agent"}', sent.length)
  wire.resetAndDestroy()
  const at = await accepted.promise
  const broken = once(at, 'error')
  t.ok((await readBytes(at, sent.length)).equals(sent))
  at.resume()
  t.match(await within(broken, 'the reset'), [{ code: 'ECONNRESET' }])
})

t.test('who resets a connection on which nothing is under way breaks the other side’s as well', async (t) => {
  const { server } = await startTunnel(t, { pki })
  const resets = await listenTarget(t, (socket) => {
    socket.once('data', () => socket.resetAndDestroy())
  })
  const { socket, ending } = await watchedTunnel(t, server, resets.address)
  socket.write('go')
  t.equal(await ending, 'broken')
  await figureBecomes(server, 'culvert_server_connection_ends_total{how="reset"}', 1)

  const error = Promise.withResolvers<NodeJS.ErrnoException>()
  const reads = await listenTarget(t, (socket) => void socket.on('error', error.resolve).resume())
  const { wire } = await watchedTunnel(t, server, reads.address)
  wire.resetAndDestroy()
  t.match(await within(error.promise, 'an error at the target'), { code: 'ECONNRESET' })
})

type Reader = {
  readonly more: (bytes: number) => void
  readonly count: () => number
  readonly hash: () => string
}

/** Nothing at first, and then so much more, and what the last chunk has besides. */
function readInSteps(socket: Duplex): Reader {
  const hash = createHash('sha256')
  let [count, goal] = [0, 0]
  socket.pause().on('data', (chunk: Buffer) => {
    hash.update(chunk)
    count += chunk.length
    if (count >= goal) socket.pause()
  })
  return {
    more(bytes) {
      goal = count + bytes
      socket.resume()
    },
    count: () => count,
    hash: () => hash.digest('hex'),
  }
}

/** Bytes are under way, over lanes if there are any. */
async function hasGone({ lanes, since, moves }: TunnelOnWay, segment: 'to_agent' | 'from_agent'): Promise<void> {
  await eventually(
    `bytes go ${segment}`,
    () => since('server', `culvert_server_payload_bytes_total{segment="${segment}"}`),
    (bytes) => bytes > MEBIBYTE,
  )
  await eventually(
    `they go over ${lanes} lanes`,
    () => moves(segment),
    (count) => count > 0 === lanes > 0,
  )
}

/** Sends for as long as somebody takes it. */
function flood(socket: Duplex): void {
  const chunk = Buffer.alloc(64 * 1024)
  const fill = (): void => {
    while (socket.write(chunk));
  }
  socket.on('drain', fill)
  fill()
}
