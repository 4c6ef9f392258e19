/** A tunnelled connection joined to a real socket: one end of a TCP connection on loopback, the test holds the other. */
import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import type { Connection, Ending } from '../../src/tunnel/connection.ts'
import { close } from '../../src/tunnel/ending.ts'
import {
  createEndpoint,
  type Endpoint,
  type EndpointOptions,
  eventsOf,
  followSocket,
  readSocket,
  release,
} from '../../src/tunnel/endpoint.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { send } from '../../src/tunnel/sending.ts'
import { makePki, temporaryFolder } from '../integration/certificates.ts'
import { type OneSession, type OneSessionOptions, oneSession } from './one-session.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

const DEADLINE_MS = 10_000
const MIB = 2 ** 20
/** How long the endpoint lets a peer go on after a stock close. */
const LINGER_MS = 10_000

type Plugged = OneSession & {
  /** The peer of the socket that the endpoint owns; paused until it is read. */
  readonly peer: Socket
  readonly socket: Socket
  readonly connection: Connection
  readonly endpoint: Endpoint
  readonly count: { fromSockets: number; toSockets: number }
  readonly ending: Promise<Ending>
  readonly fromTunnel: (bytes: Buffer) => void
}

/** Two ends of one connection: of TCP, or of a Unix socket of that path. */
async function socketPair(server: Server, path: string | undefined): Promise<[Socket, Socket]> {
  if (path) server.listen(path)
  else server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const address = server.address()
  const where = typeof address === 'string' ? { path: address } : { port: address?.port ?? 0, host: '127.0.0.1' }
  const peer = connect({ ...where, allowHalfOpen: true })
  await once(peer, 'connect')
  return [(await accepted)[0], peer]
}

async function plug(
  t: Test,
  options: Partial<OneSessionOptions> &
    Partial<Pick<EndpointOptions, 'held' | 'timing' | 'flushMs'>> & { path?: string } = {},
): Promise<Plugged> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  const [socket, peer] = await socketPair(server, options.path)
  t.teardown(() => {
    socket.destroy()
    peer.destroy()
    server.close()
  })
  const session = oneSession({ role: 'server', ...options })
  const count = { fromSockets: 0, toSockets: 0 }
  const { promise: ending, resolve } = Promise.withResolvers<Ending>()
  const { held = false, timing, flushMs } = options
  const endpoint = createEndpoint({
    socket,
    count,
    held,
    ...(timing && { timing }),
    ...(flushMs && { flushMs }),
    over: resolve,
  })
  const { connection } = session.open(1, eventsOf(endpoint))
  endpoint.connection = connection
  followSocket(endpoint)
  socket.on('data', (bytes: Buffer) => {
    if (!readSocket(endpoint, bytes)) socket.pause()
  })
  socket.resume()
  const fromTunnel = (bytes: Buffer): void => session.session.receiveData(session.carrier, 1, bytes)
  return { ...session, peer, socket, connection, endpoint, count, ending, fromTunnel }
}

/** 32 MiB for a peer that does not read yet; of several pieces all but the first wait behind it. */
async function fill(t: Test, { connection, fromTunnel, endpoint }: Plugged, pieces: number): Promise<void> {
  connection.window.allowance = 32 * MIB
  for (let piece = 0; piece < pieces; piece++) {
    fromTunnel(Buffer.alloc((32 * MIB) / pieces))
    await turn()
  }
  t.equal(endpoint.waiting !== undefined, pieces > 1)
}

/** What the peer reads until the end, or the error that cuts it short. */
async function readAll(peer: Socket): Promise<{ bytes: number; error: string | undefined }> {
  let bytes = 0
  const told = () => ({ bytes, error: (peer.errored as NodeJS.ErrnoException | null)?.code })
  if (peer.closed) return told() // a write of its own has failed meanwhile
  peer.on('data', (chunk) => {
    bytes += chunk.length
  })
  peer.on('error', () => undefined)
  const stop = AbortSignal.timeout(DEADLINE_MS)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  stop.onabort = () => reject(new Error(`neither end nor error after ${bytes} bytes`))
  peer.once('end', resolve)
  peer.once('close', resolve)
  await promise
  return told()
}

const isType =
  (type: Packet['type']) =>
  (packet: Packet): boolean =>
    packet.type === type

t.test('brings bytes both ways, and each end on its own', async (t) => {
  const { peer, session, carrier, fromTunnel, ending, count } = await plug(t)
  peer.end('question')
  await carrier.next(isType('END_OF_DATA'))
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.from('question') }, { type: 'END_OF_DATA' }])
  fromTunnel(Buffer.from('an'))
  fromTunnel(Buffer.from('swer'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame(await readAll(peer), { bytes: 6, error: undefined })
  t.strictSame(await ending, { kind: 'finished' })
  t.strictSame(count, { fromSockets: 8, toSockets: 6 })
})

const turn = (): Promise<unknown> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

t.test('tells how long a socket took to take what was written to it, one write at a time', async (t) => {
  let nowMs = 0
  const took: number[] = []
  const timing = { now: () => nowMs, wrote: (ms: number) => void took.push(ms) }
  const { peer, fromTunnel } = await plug(t, { extensions: noExtensions, timing })
  const first = 32 * MIB // more than the kernel keeps for a peer that does not read
  fromTunnel(Buffer.alloc(first))
  await turn()
  for (nowMs of [100, 200, 300]) {
    fromTunnel(Buffer.from('more'))
    await turn()
  }
  t.strictSame(took, [], 'nothing has been taken yet')
  nowMs = 5_000
  const { promise: all, resolve } = Promise.withResolvers<void>()
  let bytes = 0
  peer.on('data', (chunk) => {
    bytes += chunk.length
    if (bytes === first + 12) resolve()
  })
  await all
  t.strictSame(took, [5_000], 'the first write; those that came meanwhile are not timed')
  fromTunnel(Buffer.from('x'))
  await once(peer, 'data')
  t.strictSame(took, [5_000, 0], 'and then the next one')
})

t.test('holds bytes for a slow socket in about as much memory as they are, and in order', async (t) => {
  const { peer, socket, fromTunnel, connection, session } = await plug(t, { extensions: noExtensions })
  const first = 32 * MIB
  fromTunnel(Buffer.alloc(first))
  await turn()
  const written = socket.writableLength
  session.heard(1_000) // it has taken nothing for a second
  const reads = new Set<WeakRef<ArrayBufferLike>>()
  for (let each = 0; each < 1_000; each++) {
    const read = Buffer.allocUnsafeSlow(64 * 1024)
    read.writeUInt32BE(each)
    reads.add(new WeakRef(read.buffer))
    fromTunnel(read.subarray(0, 4))
  }
  t.equal(socket.writableLength, written, 'the socket has not been given them')
  t.equal(connection.backlog, written + 4_000)
  await turn()
  collect()
  await turn()
  t.ok([...reads].filter((read) => read.deref()).length <= 1, 'what they came in is free, but for the last perhaps')

  const chunks: Buffer[] = []
  let bytes = 0
  const { promise: all, resolve } = Promise.withResolvers<void>()
  peer.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes === first + 4_000) resolve()
  })
  await all
  const numbers = Buffer.concat(chunks).subarray(first)
  t.ok(Array.from({ length: 1_000 }, (_, each) => numbers.readUInt32BE(4 * each)).every((it, index) => it === index))
})

t.test('a connection that finishes while its socket is slow brings out its last bytes and then its end', async (t) => {
  const { peer, session, carrier, fromTunnel, ending } = await plug(t, { extensions: noExtensions })
  fromTunnel(Buffer.alloc(32 * MIB))
  for (let each = 0; each < 3; each++) {
    await turn()
    fromTunnel(Buffer.from('late'))
  }
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.match(await ending, { kind: 'finished' })
  peer.end()
  t.strictSame(await readAll(peer), { bytes: 32 * MIB + 12, error: undefined })
})

t.test('tells of the last write also when the end comes right behind it', async (t) => {
  const took: number[] = []
  const timing = { now: () => 0, wrote: (ms: number) => void took.push(ms) }
  const { peer, session, carrier, fromTunnel } = await plug(t, { timing })
  fromTunnel(Buffer.from('x'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  await readAll(peer)
  t.strictSame(took, [0])
})

t.test('tells of no write that a broken socket never took', async (t) => {
  const took: number[] = []
  const timing = { now: () => 0, wrote: (ms: number) => void took.push(ms) }
  const { peer, fromTunnel, connection, ending } = await plug(t, { extensions: noExtensions, timing })
  peer.on('error', () => undefined)
  fromTunnel(Buffer.alloc(32 * MIB))
  await turn()
  close(connection, 'over-budget')
  await ending
  await turn()
  t.strictSame(took, [])
})

t.test('hands on the end of the tunnel while the socket goes on sending', async (t) => {
  const { peer, session, carrier } = await plug(t)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame(await readAll(peer), { bytes: 0, error: undefined })
  peer.end('still here')
  await carrier.next(isType('END_OF_DATA'))
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.from('still here') }, { type: 'END_OF_DATA' }])
})

t.test('resets a TCP peer when the other end of the tunnel was reset', async (t) => {
  const { peer, session, carrier, ending } = await plug(t)
  const read = readAll(peer)
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'ECONNRESET' })
  t.strictSame(await read, { bytes: 0, error: 'ECONNRESET' })
  t.strictSame(await ending, { kind: 'reset', by: 'peer', reason: 'ECONNRESET' })
})

t.test('a peer whose far socket broke takes what came before, and is reset then', async (t) => {
  const { peer, socket, session, carrier, fromTunnel, connection, ending, count } = await plug(t)
  const waits = 32 * MIB // more than the kernel keeps for the two of them
  connection.window.allowance = waits
  fromTunnel(Buffer.alloc(waits))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.match(await ending, { kind: 'reset', by: 'peer', reason: 'ECONNRESET', inOrder: true })
  peer.write('what nobody wants any more')
  await turn()
  t.ok(socket.writableLength > 0)
  const { bytes, error } = await readAll(peer)
  t.equal(error, 'ECONNRESET')
  t.ok(bytes > waits / 2, `a reset takes with it what the kernel has and no more: ${bytes} bytes came`)
  t.equal(count.fromSockets, 0)
})

t.test('of a Unix socket, which knows no reset, nothing is lost', async (t) => {
  const path = join(temporaryFolder(t), 'socket')
  const { peer, socket, session, carrier, fromTunnel, connection } = await plug(t, { path })
  connection.window.allowance = 8 * MIB
  for (let each = 0; each < 4; each++) {
    fromTunnel(Buffer.alloc(2 * MIB)) // what comes behind a write that is not done waits elsewhere
    await turn()
  }
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.strictSame(await readAll(peer), { bytes: 8 * MIB, error: undefined })
  t.ok(socket.destroyed || (await once(socket, 'close')))
})

t.test('a break behind what is held waits until that is released and taken', async (t) => {
  const { peer, session, carrier, endpoint, fromTunnel, socket } = await plug(t, { held: true })
  fromTunnel(Buffer.from('early'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.ok(socket.writable, 'the owner can still say what comes first')
  peer.on('error', () => undefined)
  const read = once(peer, 'data')
  socket.write('200 ', () => release(endpoint))
  t.match(String((await read)[0]), /^200 /)
  t.ok(socket.destroyed || (await once(socket, 'close')))
})

for (const [what, pieces] of [
  ['the end that the peer was told of', 1],
  ['an end that waits behind what the peer was given', 2],
] as const) {
  t.test(`a break behind ${what} closes when all is written`, async (t) => {
    const plugged = await plug(t)
    const { peer, socket, session, carrier } = plugged
    await fill(t, plugged, pieces)
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
    await turn()
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'EPIPE' })
    t.strictSame(await readAll(peer), { bytes: 32 * MIB, error: undefined })
    t.ok(socket.destroyed || (await once(socket, 'close')))
  })
}

for (const [end, reason, pieces] of [
  ['finishes', '', 1],
  ['breaks', 'ECONNRESET', 1],
  ['finishes, with more behind what it was given', '', 2],
  ['breaks, with more behind what it was given', 'ECONNRESET', 2],
] as const) {
  t.test(`resets a peer that takes nothing for a minute of what came before its connection ${end}`, async (t) => {
    const plugged = await plug(t)
    const { peer, socket, session, carrier } = plugged
    await fill(t, plugged, pieces)
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason })
    await turn()
    t.equal(socket.timeout, 60_000)
    socket.emit('timeout')
    t.match(await readAll(peer), { error: 'ECONNRESET' })
  })
}

t.test('resets a peer that takes nothing of what came before a break, however much it sends', async (t) => {
  const { peer, socket, session, carrier, fromTunnel, connection } = await plug(t, { flushMs: 300 })
  connection.window.allowance = 32 * MIB
  connection.credit = 32 * MIB // the peer takes all that is read
  fromTunnel(Buffer.alloc(32 * MIB))
  const sending = setInterval(() => peer.write(Buffer.alloc(64 * 1024)), 20)
  t.teardown(() => clearInterval(sending))
  peer.on('error', () => undefined)
  await once(socket, 'data') // it is being read
  await turn()
  t.notOk(socket.isPaused())
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  await once(socket, 'close', { signal: AbortSignal.timeout(DEADLINE_MS) })
  t.match(await readAll(peer), { error: 'ECONNRESET' })
})

t.test('the owner’s own bytes in front of a break may take their time', async (t) => {
  const { peer, session, carrier, endpoint, socket } = await plug(t, { held: true })
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  socket.cork()
  const read = readAll(peer)
  const written = new Promise<unknown>((resolve) => socket.write('200 ', resolve))
  release(endpoint) // as when the client has sent something
  t.notOk(socket.destroyed)
  socket.uncork()
  await written
  release(endpoint)
  t.ok(socket.destroyed)
  t.match(await read, { error: 'ECONNRESET' })
})

t.test('a socket that its owner cuts off takes with it what it held', async (t) => {
  const { peer, socket, carrier, connection, ending } = await plug(t)
  peer.write(Buffer.alloc(64 * 1024))
  await carrier.next(isType('BLOCKED'))
  t.notOk(send(connection, Buffer.from('held')))
  carrier.frames()
  socket.destroy()
  t.match(await ending, { kind: 'reset', by: 'self', reason: 'socket-closed' })
  t.match(carrier.frames(), [{ type: 'CLOSE_REQ' }])
})

t.test('of a socket that breaks while it is paused goes out what was read of it', async (t) => {
  const { peer, socket, session, carrier, connection, ending } = await plug(t)
  const sent = 64 * 1024 + 40_000
  peer.write(Buffer.alloc(64 * 1024))
  await carrier.next(isType('BLOCKED'))
  peer.write(Buffer.alloc(40_000))
  for (const until = Date.now() + DEADLINE_MS; connection.sentBytes + socket.readableLength < sent; ) {
    if (Date.now() > until) throw new Error('it was not read')
    await turn()
  }
  t.ok(socket.readableLength > 0)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  peer.resetAndDestroy()
  await closed
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 64 * 1024 })
  t.match(await ending, { kind: 'reset', by: 'self', reason: 'ECONNRESET' })
  const frames = carrier.frames()
  t.equal(
    frames.reduce((sum, frame) => sum + (frame.type === 'DATA' ? frame.data.length : 0), 0),
    sent,
  )
  t.match(frames.at(-1), { type: 'END_OF_DATA', close: 1, reason: 'ECONNRESET' })
})

t.test(
  'over TLS a break is an end of the connection under it, behind the last byte, and closes when the client does',
  async (t) => {
    const { server: leaf, authority } = await makePki(t)
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
    const [raw, peer] = await socketPair(server, undefined)
    const socket = new TLSSocket(raw, { isServer: true, key: leaf.key, cert: leaf.cert })
    socket.allowHalfOpen = true
    const client = connectTls({ socket: peer, ca: authority.certificatePem, checkServerIdentity: () => undefined })
    t.teardown(() => {
      for (const each of [socket, client, raw, peer]) each.destroy()
      server.close()
    })
    await once(client, 'secureConnect')
    const { session, carrier, open } = oneSession({ role: 'server' })
    const endpoint = createEndpoint({
      socket,
      raw,
      count: { fromSockets: 0, toSockets: 0 },
      held: false,
      over: () => {},
    })
    const { connection } = open(1, eventsOf(endpoint))
    endpoint.connection = connection
    followSocket(endpoint)
    connection.window.allowance = 8 * MIB
    session.receiveData(carrier, 1, Buffer.alloc(8 * MIB))
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(LINGER_MS / 2) })
    t.strictSame(await readAll(client), { bytes: 8 * MIB, error: undefined })
    client.end()
    t.strictSame(await closed, [false])
  },
)

t.test('resets a TCP peer when the stream ends', async (t) => {
  const { peer, session, carrier, ending } = await plug(t)
  const read = readAll(peer)
  session.lost(carrier, 'gone')
  t.strictSame(await read, { bytes: 0, error: 'ECONNRESET' })
  t.match(await ending, { kind: 'reset', by: 'tunnel' })
})

t.test('resets a TCP peer whose connection the session gave up: its bytes must not look complete', async (t) => {
  const { peer, ending, fromTunnel, connection } = await plug(t)
  const read = readAll(peer)
  fromTunnel(Buffer.from('a part'))
  await once(peer, 'data', { signal: AbortSignal.timeout(DEADLINE_MS) })
  close(connection, 'over-budget')
  t.strictSame(await read, { bytes: 6, error: 'ECONNRESET' })
  t.match(await ending, { kind: 'reset', by: 'self', reason: 'over-budget' })
})

t.test('resets a TCP peer also when the last bytes and the end were still waiting to go out', async (t) => {
  const { peer, session, carrier, fromTunnel } = await plug(t, { extensions: new Set(['half-close'] as const) })
  fromTunnel(Buffer.alloc(32 * MIB)) // more than the kernel keeps for the two of them
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  await new Promise((resolve) => setImmediate(resolve))
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'ECONNRESET' })
  t.match(await readAll(peer), { error: 'ECONNRESET' })
})

t.test('resets a TCP peer that has finished and whose last bytes are given up', async (t) => {
  const { peer, socket, session, carrier, connection, fromTunnel } = await plug(t, { extensions: noExtensions })
  fromTunnel(Buffer.alloc(32 * MIB)) // more than the kernel keeps for the two of them
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  await new Promise((resolve) => setImmediate(resolve))
  connection.events.giveUp()
  t.ok(socket.destroyed)
  t.match(await readAll(peer), { error: 'ECONNRESET' })
})

t.test('tells the tunnel why its socket broke', async (t) => {
  const { peer, carrier, ending } = await plug(t)
  peer.resetAndDestroy()
  t.match(await carrier.next(isType('END_OF_DATA')), { connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.match(await ending, { kind: 'reset', by: 'self', reason: 'ECONNRESET' })
})

t.test('holds bytes and end until they are released', async (t) => {
  const { peer, session, carrier, endpoint, fromTunnel, socket } = await plug(t, { held: true })
  fromTunnel(Buffer.from('early'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.equal(socket.writableLength, 0)
  socket.write('200 ')
  release(endpoint)
  t.strictSame(await readAll(peer), { bytes: 9, error: undefined })
})

t.test('holds bytes until they are released also when the connection finishes meanwhile', async (t) => {
  const { peer, session, carrier, endpoint, fromTunnel, socket, ending } = await plug(t, {
    held: true,
    extensions: noExtensions,
  })
  fromTunnel(Buffer.from('early'))
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  await ending
  t.equal(socket.writableLength, 0, 'nothing goes in front of what the owner has to say first')
  t.ok(socket.writable, 'the owner can still say it')
  socket.write('200 ')
  release(endpoint)
  t.strictSame(await readAll(peer), { bytes: 9, error: undefined })
})

t.test('gives bytes back as taken when the peer has made room for them, not before', async (t) => {
  const { peer, fromTunnel, budget, session, carrier } = await plug(t, { extensions: noExtensions })
  const sent = 32 * MIB // more than the kernel keeps for the two of them
  for (let bytes = 0; bytes < sent; bytes += MIB) fromTunnel(Buffer.alloc(MIB))
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(budget.usedBytes > 8 * MIB, 'what the kernel does not take still waits here')
  const read = readAll(peer)
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.strictSame(await read, { bytes: sent, error: undefined })
  t.equal(budget.usedBytes, 0)
})

t.test('counts only what has been written out, also while more waits behind it', async (t) => {
  const { peer, fromTunnel, budget, session, carrier } = await plug(t, { extensions: noExtensions })
  const batch = 24 * MIB
  for (let count = 0; count < 2; count++) {
    fromTunnel(Buffer.alloc(batch))
    await new Promise((resolve) => setImmediate(resolve)) // each is a write of its own
  }
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  let received = 0
  let most = 0
  peer.on('data', (chunk) => {
    received += chunk.length
    most = Math.max(most, 2 * batch - received - budget.usedBytes)
  })
  t.strictSame(await readAll(peer), { bytes: 2 * batch, error: undefined })
  t.ok(most < 20 * MIB, `${most} bytes were neither here nor there: the kernel keeps less`)
})

t.test('grants credit as the peer takes bytes', async (t) => {
  const { peer, fromTunnel, carrier } = await plug(t)
  peer.resume()
  fromTunnel(Buffer.alloc(65_536))
  t.match(await carrier.next(isType('WINDOW_UPDATE')), { connectId: 1, credit: 65_536 })
})

t.test('loses none of the last bytes when the peer has sent more than was read', async (t) => {
  const { peer, socket, session, carrier, fromTunnel } = await plug(t, { extensions: noExtensions })
  socket.pause() // as towards a stock agent, while the last chunk is under way
  peer.write(Buffer.alloc(100_000))
  await new Promise((resolve) => peer.write('', resolve))
  fromTunnel(Buffer.alloc(8 * MIB))
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.strictSame(await readAll(peer), { bytes: 8 * MIB, error: undefined })
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(LINGER_MS / 2) })
  peer.end()
  t.strictSame(await closed, [false], 'what was unread is read, so the end behind it is seen')
})

t.test('drops what a peer still sends after a stock close, and closes when it ends', async (t) => {
  const { peer, socket, session, carrier, count } = await plug(t, { extensions: noExtensions })
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.strictSame(await readAll(peer), { bytes: 0, error: undefined })
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(DEADLINE_MS) })
  peer.end(Buffer.alloc(MIB))
  t.strictSame(await closed, [false], 'without an error')
  t.equal(count.fromSockets, 0)
})

t.test('closes at once what is over before its socket gave an end', async (t) => {
  const { peer, socket, budget, fromTunnel, connection } = await plug(t, { budget: createBudget(64 * MIB) })
  fromTunnel(Buffer.alloc(60_000))
  close(connection, 'owner')
  t.equal(budget.usedBytes, 0)
  await Promise.all([readAll(peer), socket.closed || once(socket, 'close')])
  t.ok(socket.destroyed)
})
