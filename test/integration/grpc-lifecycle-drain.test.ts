/**
 * gRPC mode, when the server is told to end: what clients on HTTP/2 connections that they mean to keep are told, what goes on,
 * and when it is over whatever goes on.
 */
import { createHash } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import t, { type Test } from 'tap'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { makePki } from './certificates.ts'
import { event, eventually, within } from './deadline.ts'
import { figureBecomes, SERVER } from './figures.ts'
import { callHeaders, data, END_STREAM, type Frame, type RawHttp2, speakRawHttp2 } from './raw-http2.ts'
import { dialsUnderWay, echo, listenTarget, PATIENT, stuckTarget } from './target.ts'
import { expectedHash, pieces, sendSlowly } from './transfer.ts'
import { startTunnel, TRANSPORTS } from './tunnel.ts'
import { grpcMessage } from './wire.ts'
import { connectGrpcFrontend, dialRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const BULK_BYTES = 8_000_003
const PIECE_BYTES = 200_003
const PIECE_EVERY_MS = 25
/** Between two calls of a client that opens one after the other: milliseconds. */
const OPEN_EVERY_MS = 20
/** More than the server waits for clients that do not hang up: milliseconds. */
const LINGER_MS = 5_000
const hash = expectedHash(BULK_BYTES)
const IN_ORDER = { code: 0, signal: null }
const flags = ['--mode=grpc']
const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => {
  void sendSlowly(socket, BULK_BYTES, PIECE_BYTES, PIECE_EVERY_MS).then(() => socket.end())
})

/** Waits for so many bytes. @returns their hash */
async function receive(call: WireCall, bytes: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const received = createHash('sha256')
  let count = 0
  call.take = (_id, piece) => {
    received.update(piece)
    count += piece.length
    if (count >= bytes) resolve()
  }
  await within(promise, `${bytes} bytes come`, 60_000)
  return received.digest('hex')
}

async function uploadAndBack(call: WireCall): Promise<string> {
  const id = await call.dial(target.address)
  const back = receive(call, BULK_BYTES)
  for (const piece of pieces(BULK_BYTES)) {
    for (let sent = 0; sent < piece.length; sent += PIECE_BYTES) {
      if (!call.sendData(id, piece.subarray(sent, sent + PIECE_BYTES))) await event(call.stream, 'drain')
      await new Promise((resolve) => setTimeout(resolve, PIECE_EVERY_MS))
    }
  }
  return back
}

const closed = (http: ClientHttp2Session): Promise<unknown> => within(onceClosed(http), 'an HTTP/2 connection closes')
const onceClosed = (http: ClientHttp2Session): Promise<unknown> =>
  http.closed && http.destroyed ? Promise.resolve() : new Promise((resolve) => http.once('close', resolve))

for (const transport of TRANSPORTS) {
  t.test(`${transport}: all connections are told, and what runs on them comes to its end, whole`, async (t) => {
    const { server } = await startTunnel(t, { pki, transport, flags }, { flags: [PATIENT] })
    const stuck = await stuckTarget(t)
    const [idle, used, transfers, dials] = await Promise.all([1, 2, 3, 4].map(() => joinFrontend(t, server)))
    const over = openCall(used!)
    await echoOver(over, await over.dial(target.address), 'a connection whose calls are over')
    over.stream.end()
    await over.ended()
    const download = openCall(transfers!)
    const downloaded = receive(download, BULK_BYTES)
    await download.dial(source.address)
    const upload = openCall(transfers!)
    const uploaded = uploadAndBack(upload)
    const pending = openCall(dials!)
    pending.send(dialRequest(stuck.address))
    await eventually(
      'a dial is pending, and both transfers run',
      () => dialsUnderWay(stuck.port).length === 1 && upload.received.length === 1 && download.received.length === 1,
      Boolean,
    )
    const told = [idle, used, transfers, dials].map((http) => event(http!, 'goaway'))
    const hungUp = [closed(idle!), closed(used!)]
    server.signal('SIGTERM')
    t.strictSame(await Promise.all(told), [0, 0, 0, 0], 'the code is NO_ERROR')
    await Promise.all(hungUp)
    t.notOk(transfers!.destroyed || dials!.destroyed)

    const late = openCall(await joinFrontend(t, server))
    await echoOver(late, await late.dial(target.address), 'who comes anew is served')
    stuck.release()
    t.match(await pending.next('DIAL_RSP'), { error: '' })
    const { connectId } = pending.received[0] as { connectId: number }
    await echoOver(pending, connectId, 'a dial that was pending')
    t.equal(await downloaded, hash)
    t.equal(await uploaded, hash)
    t.match(await download.next('CLOSE_RSP'), { error: '' })
    for (const call of [pending, download, upload, late]) {
      call.stream.end()
      t.match(await call.ended(), { code: 0 })
    }
    await Promise.all([closed(transfers!), closed(dials!)])
    t.match(await server.logged('closed the frontend'), { why: 'quiet' })
    t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
    t.ok(late.http.destroyed || (await closed(late.http)) === undefined, 'and the connection that was idle by then')
  })
}

for (const [transport, quietTime] of [
  ['uds', '300ms'],
  ['tls', '300ms'],
  ['uds', '0s'],
  ['tls', '0s'],
] as const) {
  t.test(`${transport}, ${quietTime}: a call is served or, as GOAWAY says, nobody has seen it`, async (t) => {
    const { server } = await startTunnel(t, {
      pki,
      transport,
      flags: [...flags, '--log-level=info', `--shutdown-quiet-time=${quietTime}`],
    })
    const clients = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => openCalls(await rawClient(t, server), index % 2 === 0)),
    )
    await eventually('all of them open calls', () => clients.every(({ opened }) => opened() > 5), Boolean)
    server.signal('SIGTERM')
    await eventually('all are hung up on', () => clients.every(({ raw }) => raw.socket.destroyed), Boolean)
    t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
    const wrong = clients.flatMap(({ raw, opened }) => {
      const goaway = raw.received.find(({ type }) => type === 'GOAWAY')
      if (!goaway) return ['no GOAWAY']
      const last = goaway.payload.readUInt32BE(0)
      const isAnswer = ({ type, flags }: Frame): boolean => type === 'DATA' || (flags & END_STREAM) !== 0
      const answered = new Set(raw.received.filter(isAnswer).map(({ stream }) => stream))
      const calls = Array.from({ length: opened() }, (_, call) => 2 * call + 1)
      return calls.filter((stream) => answered.has(stream) !== stream <= last).map((stream) => `${stream} of ${last}`)
    })
    t.strictSame(wrong, [])
  })
}

async function rawClient(t: Test, server: Parameters<typeof connectGrpcFrontend>[1]): Promise<RawHttp2> {
  const raw = speakRawHttp2(await connectGrpcFrontend(t, server))
  await raw.next(({ type }) => type === 'SETTINGS')
  return raw
}

type Opening = { readonly raw: RawHttp2; readonly opened: () => number }

/** One call after the other, each of which asks for one thing and is over, until it is hung up on. @param keeps the first one stays */
function openCalls(raw: RawHttp2, keeps: boolean): Opening {
  const question = grpcMessage(encodePacket(dialRequest('x:1', 7, 'udp')))
  let calls = 0
  const timer = setInterval(() => {
    const stream = 2 * calls++ + 1
    raw.write(callHeaders(stream), data(stream, question, keeps && calls === 1 ? 0 : END_STREAM))
  }, OPEN_EVERY_MS)
  raw.socket.once('end', () => clearInterval(timer)).once('close', () => clearInterval(timer))
  return { raw, opened: () => calls }
}

t.test('a call on a connection that was told to go is not seen, and its neighbours go on', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags })
  const raw = await rawClient(t, server)
  const dial = grpcMessage(encodePacket(dialRequest(target.address)))
  raw.write(callHeaders(1), data(1, dial))
  await raw.next(({ type, stream }) => type === 'DATA' && stream === 1)
  server.signal('SIGTERM')
  const goaway = await raw.next(({ type }) => type === 'GOAWAY')
  t.equal(goaway.payload.readUInt32BE(0), 1)
  raw.write(callHeaders(3), data(3, dial))
  const bytes = Buffer.from('still here')
  raw.write(data(1, grpcMessage(encodePacket({ type: 'DATA', connectId: 1, error: '', data: bytes }))))
  await raw.next(({ type, stream, payload }) => type === 'DATA' && stream === 1 && payload.includes(bytes))
  t.notOk(raw.received.some(({ stream }) => stream === 3))
  raw.write(data(1, Buffer.alloc(0), END_STREAM))
  t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
  t.notOk(raw.received.some(({ stream }) => stream === 3))
})

const NEVER_ENDS = 'a call that never ends, one that dials and one that does nothing'
async function neverEnding(t: Test, ...more: readonly string[]) {
  const { server, agent } = await startTunnel(t, { pki, transport: 'uds', flags: [...flags, ...more] })
  const stuck = await stuckTarget(t)
  const http = await joinFrontend(t, server)
  const [open, dials, nothing] = [openCall(http), openCall(http), openCall(http)]
  const accepted = target.next()
  await echoOver(open, await open.dial(target.address), 'it is open')
  dials.send(dialRequest(stuck.address))
  await figureBecomes(server, `${SERVER}pending_backend_dials`, 1)
  const startMs = performance.now()
  const reset = event<Error>(await accepted, 'error')
  server.signal('SIGTERM')
  await server.logged('shutting down')
  const broken = async (): Promise<void> => {
    for (const { closed } of [open, dials, nothing]) await within(closed, 'the end of a call')
    t.match(await reset, { code: 'ECONNRESET' }, 'what its client did not end does not look finished')
  }
  return { server, agent, stuck, broken, elapsedMs: () => performance.now() - startMs }
}

t.test(`${NEVER_ENDS} do not keep a server whose time for a shutdown is up`, async (t) => {
  const { server, agent, stuck, broken, elapsedMs } = await neverEnding(t, '--graceful-shutdown-timeout=1s')
  t.match(await server.logged('closed the frontend'), { why: 'time is up', open: 3 })
  t.ok(elapsedMs() >= 900, `after ${elapsedMs()} ms`)
  await broken()
  t.strictSame(await within(server.ended, 'its end', 5_000), IN_ORDER)
  await eventually(
    'nobody dials for nobody',
    () => dialsUnderWay(stuck.port),
    (dials) => dials.length === 0,
  )
  await figureBecomes(agent, 'konnectivity_network_proxy_agent_open_endpoint_connections', 0)
})

t.test(`${NEVER_ENDS} end at once where there is no time for a shutdown`, async (t) => {
  const { server, broken } = await neverEnding(t, '--graceful-shutdown-timeout=0')
  await broken()
  t.strictSame(await within(server.ended, 'its end', 5_000), IN_ORDER)
})

t.test(`${NEVER_ENDS} end with a second signal`, async (t) => {
  const { server, broken } = await neverEnding(t)
  server.signal('SIGTERM')
  t.match(await server.logged('closed the frontend'), { why: 'second signal' })
  await broken()
  t.strictSame(await within(server.ended, 'its end', 5_000), { code: 1, signal: null })
})

t.test('the frontend stays for as long as clients ask for something, and then for the quiet time', async (t) => {
  const quietMs = 3_000 // no machine keeps a client from its next call for so long
  const { server } = await startTunnel(t, {
    pki,
    transport: 'uds',
    flags: [...flags, `--shutdown-quiet-time=${quietMs}ms`],
  })
  const first = openCall(await joinFrontend(t, server))
  await first.dial(target.address)
  const signalMs = performance.now()
  server.signal('SIGTERM')
  await server.logged('shutting down')
  first.stream.end() // from then on only the quiet time keeps it
  let lastMs = signalMs
  while (lastMs < signalMs + quietMs) {
    lastMs = performance.now()
    const call = openCall(await joinFrontend(t, server))
    await echoOver(call, await call.dial(target.address), 'who asks is served')
    call.stream.end()
    await new Promise((resolve) => setTimeout(resolve, quietMs / 8))
  }
  t.match(await server.logged('closed the frontend'), { why: 'quiet' })
  t.ok(performance.now() - lastMs >= quietMs, `${performance.now() - lastMs} ms after the last one`)
  t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
})

t.test('a call that has not dialled yet counts as asking, and is told of the end', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags: [...flags, '--shutdown-quiet-time=3s'] })
  const call = openCall(await joinFrontend(t, server))
  await new Promise((answered) => call.stream.once('response', answered))
  server.signal('SIGTERM')
  await event(call.http, 'goaway')
  const id = await call.dial(target.address)
  await echoOver(call, id, 'it dials when the server is about to end')
  const idle = openCall(await joinFrontend(t, server))
  await new Promise((answered) => idle.stream.once('response', answered))
  call.stream.end()
  t.match(await call.ended(), { code: 0 })
  t.strictSame(await idle.ended(), { code: 14, message: 'the server is shutting down' })
  t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
})

t.test('clients that do not hang up when they are told to do not keep the server', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags: [...flags, '--shutdown-quiet-time=300ms'] })
  const socket = await connectGrpcFrontend(t, server)
  socket.allowHalfOpen = true
  const raw = speakRawHttp2(socket)
  await raw.next(({ type }) => type === 'SETTINGS')
  server.signal('SIGTERM')
  await raw.next(({ type }) => type === 'GOAWAY')
  t.strictSame(await within(server.ended, 'its end', LINGER_MS), IN_ORDER)
})
