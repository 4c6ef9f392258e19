/** The gRPC carrier beside an independent implementation: @grpc/grpc-js as client and as server, over sockets on loopback. */
import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
} from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { TunnelError } from '../../src/platform/errors.ts'
import type { Connection, ConnectionEvents, Ending } from '../../src/tunnel/connection.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { carry, MAX_MESSAGE_BYTES } from './carried.ts'
import { decodeByProtobufjs, encodeByProtobufjs } from './culvert-proto.ts'
import { patternAt } from './model/pattern.ts'

const DEADLINE_MS = 20_000
const BULK_BYTES = 24 * 2 ** 20
const STATUS = { 'bad-frame': 13, 'message-too-large': 8 } as const

const method: MethodDefinition<Packet | Buffer, Packet> = {
  path: '/AgentService/Connect',
  requestStream: true,
  responseStream: true,
  requestSerialize: (packet) => (Buffer.isBuffer(packet) ? packet : encodeByProtobufjs(packet)),
  requestDeserialize: decodeByProtobufjs,
  responseSerialize: encodeByProtobufjs,
  responseDeserialize: decodeByProtobufjs,
}

/** A socket's owner that sends `bytes` of the pattern and checks what it is given against it; it ends when both are done. */
function talker(
  stream: number,
  bytes: number,
): { events: ConnectionEvents; start: (connection: Connection) => void; over: Promise<Ending>; heard: () => number } {
  let connection: Connection | undefined
  let sent = 0
  let heard = 0
  const { promise: over, resolve } = Promise.withResolvers<Ending>()
  const pump = (): void => {
    while (connection && sent < bytes) {
      const piece = patternAt(stream, sent, Math.min(100_000, bytes - sent))
      sent += piece.length
      if (!send(connection, piece)) return
    }
    if (connection && sent === bytes && heard === bytes) end(connection)
  }
  return {
    events: {
      data(piece) {
        if (Buffer.compare(patternAt(stream, heard, piece.length), piece) !== 0)
          throw new Error(`other bytes at ${heard}`)
        heard += piece.length
        setImmediate(() => connection && taken(connection, piece.length))
        if (heard === bytes) pump()
      },
      end: () => {},
      resume: pump,
      over: resolve,
      giveUp: () => {},
    },
    start(opened) {
      connection = opened
      pump()
    },
    over,
    heard: () => heard,
  }
}

/** Our server, and a client of grpc-js on it. */
async function withGrpcClient(t: Test) {
  const server = createServer()
  const arrived = once(server, 'stream') as Promise<[ServerHttp2Stream]>
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = new Client(`127.0.0.1:${(server.address() as AddressInfo).port}`, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('agentID', 'a')
  const call: ClientDuplexStream<Packet | Buffer, Packet> = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    metadata,
    { deadline: Date.now() + DEADLINE_MS },
  )
  call.on('error', () => {})
  const status = new Promise<StatusObject>((resolve) => call.once('status', resolve)) // an error comes before it
  const [stream] = await arrived
  t.teardown(() => {
    call.cancel()
    client.close()
    stream.session?.destroy()
    server.close()
  })
  let trailers: Record<string, string> = { 'grpc-status': '0' }
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', serverid: 's' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  const ours = carry(stream, 'server')
  const packets: Packet[] = []
  const waiting = new Set<() => void>()
  call.on('data', (packet: Packet) => {
    packets.push(packet)
    for (const wake of waiting) wake()
  })
  return {
    ...ours,
    stream,
    call,
    packets,
    status,
    setStatus: (code: number, message: string) => {
      trailers = { 'grpc-status': String(code), 'grpc-message': message }
    },
    next: (type: Packet['type']) => until(waiting, () => packets.find((it) => it.type === type), type),
    settled: (what: string, done: () => boolean) => until(waiting, () => done() || undefined, what),
  }
}

/** The first truth that `look` gives, asked whenever something has arrived. */
async function until<T>(waiting: Set<() => void>, look: () => T | undefined, what: string): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const deadline = setTimeout(() => reject(new Error(`${what} did not come`)), DEADLINE_MS)
  const wake = (): void => {
    const found = look()
    if (found !== undefined) resolve(found)
  }
  waiting.add(wake)
  wake()
  try {
    return await promise
  } finally {
    waiting.delete(wake)
    clearTimeout(deadline)
  }
}

t.test('serves a client of grpc-js: headers, dials, bulk both ways, close, status', async (t) => {
  const { session, call, next, settled, packets, count, failures, carrier, setStatus, status } = await withGrpcClient(t)
  const headers = once(call, 'metadata') as Promise<[Metadata]>
  const talk = talker(1, BULK_BYTES)
  const random = 2n ** 63n - 1n
  session.dial(
    { random, protocol: 'tcp', address: '10.0.0.1:80' },
    {
      connected(connection) {
        process.nextTick(() => talk.start(connection))
        return talk.events
      },
      failed: () => t.fail('the dial failed'),
    },
  )
  t.strictSame(await next('DIAL_REQ'), { type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:80', random })
  t.strictSame((await headers)[0].get('serverID'), ['s'])
  call.write({ type: 'DIAL_RSP', error: '', connectId: 1, random })
  for (let at = 0; at < BULK_BYTES; at += 400_000) {
    const data = patternAt(1, at, Math.min(400_000, BULK_BYTES - at))
    call.write({ type: 'DATA', connectId: 1, error: '', data })
  }
  await next('CLOSE_REQ')
  const received = packets.filter((it) => it.type === 'DATA')
  let at = 0
  for (const { data } of received) {
    if (Buffer.compare(patternAt(1, at, data.length), data) !== 0) t.fail(`other bytes at ${at}`)
    at += data.length
  }
  t.equal(at, BULK_BYTES)
  call.write({ type: 'CLOSE_RSP', error: '', connectId: 1 })
  t.strictSame(await talk.over, { kind: 'finished' })
  t.equal(talk.heard(), BULK_BYTES)
  t.match(count.sent, { DIAL_REQ: 1, DATA: received.length, CLOSE_REQ: 1 })
  t.match(count.received, { DIAL_RSP: 1, DATA: Math.ceil(BULK_BYTES / 400_000), CLOSE_RSP: 1 })
  t.strictSame(failures, [])
  setStatus(14, 'going away')
  carrier.end()
  t.match(await status, { code: 14, details: 'going away' })
  await settled('the end', () => session.connectionCount() === 0)
})

t.test('is carried by a server of grpc-js: dials, bulk both ways, close, status', async (t) => {
  const server = new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES })
  const calls = Promise.withResolvers<ServerDuplexStream<Packet, Packet>>()
  server.addService({ connect: { ...method, originalName: 'connect' } } as never, {
    connect: (call: ServerDuplexStream<Packet, Packet>) => calls.resolve(call),
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  const http = connect(`http://127.0.0.1:${port}`)
  t.teardown(() => {
    http.destroy()
    server.forceShutdown()
  })
  const stream = http.request({
    ':method': 'POST',
    ':path': method.path,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const trailers = once(stream, 'trailers') as Promise<[Record<string, unknown>]>
  const dialled = Promise.withResolvers<number | bigint>()
  const ours = carry(stream, 'agent', { dial: ({ random }) => dialled.resolve(random) })
  const call = await calls.promise
  const received: Packet[] = []
  const waiting = new Set<() => void>()
  call.on('data', (packet: Packet) => {
    received.push(packet)
    for (const wake of waiting) wake()
  })
  const random = 2n ** 62n + 1n
  call.write({ type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random })
  t.equal(await dialled.promise, random)
  const talk = talker(2, BULK_BYTES)
  const connection = ours.session.accept(random, talk.events)
  if (!connection) throw new Error('not accepted')
  let given = 0
  while (given < BULK_BYTES) {
    const data = patternAt(2, given, Math.min(450_000, BULK_BYTES - given))
    call.write({ type: 'DATA', connectId: 1, error: '', data })
    given += data.length
  }
  talk.start(connection)
  await until(waiting, () => received.find(({ type }) => type === 'CLOSE_RSP'), 'CLOSE_RSP')
  let at = 0
  for (const packet of received) {
    if (packet.type !== 'DATA') continue
    if (Buffer.compare(patternAt(2, at, packet.data.length), packet.data) !== 0) t.fail(`other bytes at ${at}`)
    at += packet.data.length
  }
  t.equal(at, BULK_BYTES)
  t.equal(talk.heard(), BULK_BYTES)
  t.strictSame(await talk.over, { kind: 'finished' })
  t.strictSame(ours.failures, [])
  call.emit('error', { code: 8, details: 'enough' })
  t.match((await trailers)[0], { 'grpc-status': '8', 'grpc-message': 'enough' })
})

for (const [what, message, code] of [
  ['that cannot be decoded', Buffer.from('0841ff', 'hex'), 'bad-frame'],
  ['over the limit', Buffer.alloc(MAX_MESSAGE_BYTES + 1), 'message-too-large'],
] as const) {
  t.test(`ends the stream with a status that grpc-js reads, for a message ${what}`, async (t) => {
    const { call, stream, status, setStatus, failures } = await withGrpcClient(t)
    setStatus(STATUS[code], 'no')
    call.write(message)
    t.match(await status, { code: STATUS[code], details: 'no' })
    t.equal(failures.length, 1, 'failed once')
    t.ok(failures[0] instanceof TunnelError)
    t.match(failures[0], { code })
    t.ok(stream.writableEnded)
  })
}

t.test('takes a message at the limit', async (t) => {
  const { call, failures, count, settled } = await withGrpcClient(t)
  const head = encodeByProtobufjs({ type: 'CLOSE_RSP', error: 'x'.repeat(MAX_MESSAGE_BYTES - 20), connectId: 9 }).length
  call.write({
    type: 'CLOSE_RSP',
    error: 'x'.repeat(MAX_MESSAGE_BYTES - 20 + (MAX_MESSAGE_BYTES - head)),
    connectId: 9,
  })
  call.write({ type: 'DATA', connectId: 9, error: '', data: Buffer.from('x') })
  await settled('CLOSE_REQ', () => count.sent.CLOSE_REQ === 1)
  t.strictSame(failures, ['unknown-connection', 'unknown-connection'])
})
