import { constants } from 'node:http2'
import t from 'tap'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { eventually, within } from '../integration/deadline.ts'
import { callHeaders, data, frame, type RawHttp2, resetStream, speakRawHttp2 } from '../integration/raw-http2.ts'
import { grpcMessage } from '../integration/wire.ts'
import { closeRequest, dialRequest, openCall, type WireCall } from '../integration/wire-call.ts'
import { type GrpcPort, grpcPort } from './grpc-port.ts'

const KIB = 1024
const MEBIBYTE = 1024 * KIB
const CREDIT_BYTES = 64 * KIB
const unknownPacket = Buffer.from([0x08, 0x63])

/** Everything that the server had to say before has come. */
async function caughtUp(call: WireCall): Promise<void> {
  call.send(dialRequest('x:1', 99, 'udp'))
  await call.next('DIAL_RSP')
}

/** How the calls ended, when so many have. */
async function streamEnds(port: GrpcPort, count = 1): Promise<unknown[]> {
  const ends = await eventually(
    `${count} calls are over`,
    () => port.counted('frontendStreamEnded'),
    (found) => found.length >= count,
  )
  return ends.flat()
}

const agentFrames = async (port: GrpcPort, type: string): Promise<unknown[]> => {
  await port.agent.carrier.next((packet) => packet.type === type)
  return port.agent.carrier.frames()
}

t.test('a target’s first bytes come 10 ms behind the answer, or when the client has sent something', async (t) => {
  for (const speaks of [false, true]) {
    const port = await grpcPort(t)
    const { session, carrier } = port.agent
    const call = await port.call()
    const dialled = call.dial('10.0.0.1:80', 5)
    await carrier.next(({ type }) => type === 'DIAL_REQ')
    session.receive(carrier, { type: 'DIAL_RSP', error: '', connectId: 1, random: 5 })
    session.receiveData(carrier, 1, Buffer.from('hello'))
    await dialled
    port.clock.advance(9)
    await caughtUp(call)
    t.equal(call.bytesOf(1).length, 0)
    if (speaks) call.sendData(1, Buffer.from('x'))
    else port.clock.advance(1)
    t.equal((await call.data(1, 5)).toString(), 'hello')
  }
})

t.test('bytes that come in one turn leave in one message, and in several where they are many', async (t) => {
  for (const [pieces, bytes, messages] of [
    [100, 10, 1],
    [5, 128 * KIB, 3],
  ] as const) {
    const port = await grpcPort(t, { extensions: noExtensions })
    const call = await port.open(1)
    const { session, carrier } = port.agent
    for (let piece = 0; piece < pieces; piece++) session.receiveData(carrier, 1, Buffer.alloc(bytes, piece))
    const whole = Buffer.concat(Array.from({ length: pieces }, (_, piece) => Buffer.alloc(bytes, piece)))
    t.ok(whole.equals(await call.data(1, pieces * bytes)))
    t.equal(port.metrics.frontendPackets.sent.DATA, messages)
  }
})

t.test('bytes of later turns leave as well', async (t) => {
  const port = await grpcPort(t)
  const call = await port.open(1)
  const { session, carrier } = port.agent
  for (const [round, text] of ['one', 'two', 'three'].entries()) {
    session.receiveData(carrier, 1, Buffer.from(text))
    t.equal(
      (await call.data(1, call.bytesOf(1).length + text.length)).toString(),
      'onetwothree'.slice(0, [3, 6, 11][round]),
    )
  }
})

t.test('two connections of one call each get their own bytes, also of one turn', async (t) => {
  const port = await grpcPort(t)
  const { session, carrier } = port.agent
  const call = await port.open(1)
  const second = call.dial('10.0.0.2:80', 6)
  await carrier.next(({ type }) => type === 'DIAL_REQ')
  session.receive(carrier, { type: 'DIAL_RSP', error: '', connectId: 2, random: 6 })
  await second
  port.clock.advance(10)
  for (const [id, text] of [
    [1, 'a'],
    [2, 'x'],
    [1, 'b'],
    [1, 'c'],
    [2, 'y'],
  ] as const) {
    session.receiveData(carrier, id, Buffer.from(text))
  }
  t.equal((await call.data(1, 3)).toString(), 'abc')
  t.equal((await call.data(2, 2)).toString(), 'xy')
})

t.test(
  'a call without a dial ends after a minute, and one with a dial when that has been over for as long',
  async (t) => {
    const port = await grpcPort(t)
    const silent = await port.call()
    const dialling = await port.call()
    await caughtUp(silent)
    dialling.send(dialRequest('10.0.0.1:80', 5))
    await port.agent.carrier.next(({ type }) => type === 'DIAL_REQ')
    port.clock.advance(59_999)
    await caughtUp(silent)
    port.clock.advance(1)
    t.strictSame(await silent.ended(), { code: 0, message: '' })
    await caughtUp(dialling)
    port.agent.session.receive(port.agent.carrier, { type: 'DIAL_RSP', error: 'no', connectId: 0, random: 5 })
    t.match(await dialling.next('DIAL_RSP'), { error: 'no' })
    port.clock.advance(60_000)
    t.strictSame(await dialling.ended(), { code: 0, message: '' })
    t.strictSame(await streamEnds(port, 2), ['OK', 'OK'])
  },
)

t.test('a call whose client ends it without a word has ended in order', async (t) => {
  const port = await grpcPort(t)
  const call = await port.call()
  call.stream.end()
  t.strictSame(await call.ended(), { code: 0, message: '' })
  t.strictSame(await streamEnds(port), ['OK'])
  t.strictSame(port.log.messages('info'), [])
})

t.test('without an agent a dial fails, and what comes behind it means nothing', async (t) => {
  const port = await grpcPort(t, { alone: true })
  const call = await port.call()
  call.send(dialRequest('10.0.0.1:80', 5))
  t.match(await call.next('DIAL_RSP'), { random: 5, error: 'No agent available' })
  call.send(dialRequest('10.0.0.1:80', 6))
  await eventually(
    'it is counted',
    () => port.counted('clientViolation'),
    (found) => found.length === 1,
  )
  t.equal(port.metrics.frontendPackets.sent.DIAL_RSP, 1)
})

t.test('what comes for a call that the server has ended is not looked at', async (t) => {
  const port = await grpcPort(t, { frontend: { maxViolations: 0 } })
  const call = await port.call({ lingers: true })
  call.sendMessage(unknownPacket)
  await call.ended()
  call.sendMessage(unknownPacket)
  call.sendRaw(Buffer.from([9, 9, 9, 9, 9]))
  await within(new Promise((resolve) => call.http.ping(() => resolve(undefined))), 'the server has read it')
  t.equal(port.metrics.frontendPackets.received.UNKNOWN, 1)
  t.equal(port.counted('clientViolation').length, 1)
})

t.test('a client that does not end its side of a call that was ended is hung up on after a second', async (t) => {
  const port = await grpcPort(t, { frontend: { maxViolations: 0 } })
  const call = await port.call({ lingers: true })
  call.sendMessage(unknownPacket)
  t.match(await call.ended(), { code: 8 })
  t.equal(port.listener.count(), 1)
  port.clock.advance(1_000)
  await call.closed
  t.equal(call.stream.rstCode, constants.NGHTTP2_CANCEL)
  await eventually('the call is over', port.listener.count, (calls) => calls === 0)
})

t.test('a call with too many packets that mean nothing ends, and what it had breaks', async (t) => {
  const port = await grpcPort(t, { frontend: { maxViolations: 3 } })
  const call = await port.open(1)
  call.sendMessage(unknownPacket)
  call.sendMessage(unknownPacket)
  await caughtUp(call) // which is the third
  call.sendMessage(unknownPacket)
  t.strictSame(await call.ended(), { code: 8, message: 'too many packets that mean nothing here' })
  t.match(await agentFrames(port, 'CLOSE_REQ'), [{ connectId: 1, reason: 'client-lost' }])
  t.equal(port.counted('clientViolation').length, 4)
  t.strictSame(port.counted('frontendPaused'), [])
  t.strictSame(await streamEnds(port), ['ResourceExhausted'])
  const warned = port.log.lines.filter(({ level }) => level === 'warn')
  const fields = { status: 'RESOURCE_EXHAUSTED', reason: /mean nothing/, principal: 'unix-socket' }
  t.match(warned, [{ message: 'call ended by the server', fields }])
})

t.test('what a client was told before the server ended its call comes before the end', async (t) => {
  const port = await grpcPort(t, { frontend: { maxViolations: 99 } })
  const call = await port.call()
  const dials = Array.from({ length: 100 }, (_, random) => grpcMessage(encodePacket(dialRequest('x:1', random, 'udp'))))
  call.sendRaw(Buffer.concat(dials))
  t.match(await call.ended(), { code: 8 })
  t.equal(call.received.length, 100)
})

for (const [what, bytes, code, message] of [
  [
    'over the limit by one byte',
    Buffer.from([0, 0x00, 0x40, 0x00, 0x01]),
    8,
    /^grpc: received message larger than max: a message of 4194305 bytes is over the limit of 4194304$/,
  ],
  ['that is compressed', grpcMessage(Buffer.from('x'), 1), 13, /^grpc: failed to unmarshal the received message: /],
  [
    'that is no packet',
    grpcMessage(Buffer.from([0xff, 0xff])),
    13,
    /^grpc: failed to unmarshal the received message: /,
  ],
] as const) {
  t.test(`a message ${what} ends its call and breaks its connection`, async (t) => {
    const port = await grpcPort(t)
    const call = await port.open(1)
    const other = await port.call()
    call.sendRaw(bytes)
    t.match(await call.ended(), { code, message })
    t.match(await agentFrames(port, 'CLOSE_REQ'), [{ connectId: 1, reason: 'client-lost' }])
    t.strictSame(await streamEnds(port), [code === 8 ? 'ResourceExhausted' : 'Internal'])
    await caughtUp(other)
  })
}

t.test('a message of the largest size is taken', async (t) => {
  const port = await grpcPort(t)
  const call = await port.open(1)
  const { session, carrier } = port.agent
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 8 * MEBIBYTE })
  carrier.roomBytes = 8 * MEBIBYTE
  const overhead = 16
  call.sendData(1, Buffer.alloc(4 * MEBIBYTE - overhead))
  let got = 0
  while (got < 4 * MEBIBYTE - overhead) {
    const packet = await carrier.next(({ type }) => type === 'DATA')
    for (const frame of carrier.frames()) got += frame.type === 'DATA' ? frame.data.length : 0
    t.equal(packet.type, 'DATA')
    session.writable(carrier)
  }
  t.equal(got, 4 * MEBIBYTE - overhead)
})

t.test('of messages that are begun and not finished, the oldest are given up when all are too much', async (t) => {
  const port = await grpcPort(t)
  const http = await port.join()
  const prefix = Buffer.from([0, 0, 0x40, 0, 0]) // 4 MiB follow
  const begun = Buffer.concat([prefix, Buffer.alloc(4 * MEBIBYTE - 64, 0x12)])
  const calls = Array.from({ length: 18 }, () => openCall(http)) // 16 of them are 64 MiB
  for (const { stream } of calls) await new Promise((resolve) => stream.write(begun, resolve))
  const message = 'too much is held of messages that were begun and not finished'
  for (const call of calls.slice(0, 2)) t.strictSame(await call.ended(), { code: 8, message })
  t.strictSame(await streamEnds(port, 2), ['ResourceExhausted', 'ResourceExhausted'])
  await caughtUp(await port.call())
  t.notOk(calls.slice(2).some(({ stream }) => stream.closed))
})

t.test('a call that ends in the middle of a message is broken, not finished', async (t) => {
  const port = await grpcPort(t)
  for (const cut of [3, 12, 60]) {
    const call = await port.open(cut)
    const message = grpcMessage(
      Buffer.concat([Buffer.from([0x08, 0x04, 0x22, 100, 0x08, cut, 0x1a, 96]), Buffer.alloc(96)]),
    )
    call.sendRaw(message.subarray(0, cut))
    call.stream.end()
    t.match(await call.ended(), { code: 13, message: /ended in the middle of a message/ }, `after ${cut} bytes`)
    t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { connectId: cut, reason: 'client-lost' })
  }
  t.strictSame(await streamEnds(port, 3), ['Internal', 'Internal', 'Internal'])
})

t.test('a client that ends its side has left in order: what it sent goes first', async (t) => {
  const port = await grpcPort(t)
  const call = await port.open(1)
  call.sendData(1, Buffer.from('last'))
  call.stream.end()
  t.strictSame(await call.ended(), { code: 0, message: '' })
  t.match(await agentFrames(port, 'END_OF_DATA'), [{ type: 'DATA' }, { type: 'END_OF_DATA', close: 1 }])
  t.strictSame(await streamEnds(port), ['OK'])
  t.match(port.counted('connectionEnded'), [[Number, 'finished']])
})

/** A call with connection 1, frame by frame. */
async function rawCall(port: GrpcPort): Promise<RawHttp2> {
  const { session, carrier } = port.agent
  const raw = speakRawHttp2(await port.connect())
  raw.write(callHeaders(1), data(1, grpcMessage(encodePacket(dialRequest('10.0.0.1:80', 5)))))
  await carrier.next(({ type }) => type === 'DIAL_REQ')
  session.receive(carrier, { type: 'DIAL_RSP', error: '', connectId: 1, random: 5 })
  await raw.next(({ type }) => type === 'DATA')
  port.clock.advance(10)
  carrier.frames()
  return raw
}

const dataMessage = (bytes: Buffer): Buffer =>
  grpcMessage(encodePacket({ type: 'DATA', connectId: 1, error: '', data: bytes }))

/** Sends, and waits until that is at the agent. */
async function sendLast(port: GrpcPort, raw: RawHttp2): Promise<void> {
  raw.write(data(1, dataMessage(Buffer.from('last'))))
  await port.agent.carrier.next(({ type }) => type === 'DATA')
}

for (const [how, code] of [
  ['cancels', constants.NGHTTP2_CANCEL],
  ['resets without an error', constants.NGHTTP2_NO_ERROR],
] as const) {
  t.test(`a client that ${how} its call has left in order`, async (t) => {
    const port = await grpcPort(t)
    const raw = await rawCall(port)
    await sendLast(port, raw)
    raw.write(resetStream(1, code))
    t.match(await agentFrames(port, 'END_OF_DATA'), [{ type: 'DATA' }, { type: 'END_OF_DATA', close: 1 }])
    t.strictSame(await streamEnds(port), ['Canceled'])
    t.equal(port.listener.count(), 0)
  })

  t.test(`a client that ${how} its call in the middle of a message is lost`, async (t) => {
    const port = await grpcPort(t)
    const raw = await rawCall(port)
    raw.write(data(1, dataMessage(Buffer.alloc(100)).subarray(0, 50)))
    await port.agent.carrier.next(({ type }) => type === 'DATA')
    raw.write(resetStream(1, code))
    t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { reason: 'client-lost' })
    t.strictSame(await streamEnds(port), ['Canceled'])
  })

  t.test(`a client that ${how} its call while its last bytes are read but wait for credit: they go`, async (t) => {
    const port = await grpcPort(t)
    const { session, carrier } = port.agent
    const raw = await rawCall(port)
    for (let piece = 0; piece < 4; piece++) raw.write(data(1, dataMessage(Buffer.alloc(15_000))))
    raw.write(data(1, Buffer.concat([dataMessage(Buffer.alloc(8_000)), dataMessage(Buffer.from('held'))])))
    await eventually(
      'it is not read',
      () => port.counted('frontendPaused').length,
      (times) => times === 1,
    )
    raw.write(resetStream(1, code))
    t.strictSame(await streamEnds(port), ['Canceled'])
    t.strictSame(port.counted('frontendPaused'), [[1], [-1]])
    t.ok(port.listener.busy(), 'so the server does not end before they have gone')
    carrier.frames()
    session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: MEBIBYTE })
    session.writable(carrier)
    t.match(await agentFrames(port, 'END_OF_DATA'), [{ data: Buffer.from('held') }, { type: 'END_OF_DATA', close: 1 }])
    t.equal(port.listener.count(), 0)
  })

  t.test(
    `a client that ${how} its call while bytes of it are not read has lost them, which its target is told`,
    async (t) => {
      const port = await grpcPort(t)
      const raw = await rawCall(port)
      for (let piece = 0; piece < 10; piece++) raw.write(data(1, dataMessage(Buffer.alloc(15_000))))
      await eventually(
        'it is not read',
        () => port.counted('frontendPaused').length,
        (times) => times === 1,
      )
      raw.write(resetStream(1, code))
      t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { reason: 'client-lost' })
      t.strictSame(await streamEnds(port), ['Canceled'])
      t.equal(port.listener.count(), 0)
    },
  )
}

for (const [how, lose] of [
  ['ends its TCP connection', (raw: RawHttp2) => raw.socket.end()],
  ['resets its TCP connection', (raw: RawHttp2) => raw.socket.resetAndDestroy()],
  ['resets its call for an error', (raw: RawHttp2) => raw.write(resetStream(1, constants.NGHTTP2_INTERNAL_ERROR))],
  ['says GOAWAY and hangs up', (raw: RawHttp2) => raw.socket.end(frame('GOAWAY', 0, 0, Buffer.alloc(8)))],
] as const) {
  t.test(`a client that ${how} is lost`, async (t) => {
    const port = await grpcPort(t)
    const raw = await rawCall(port)
    await sendLast(port, raw)
    lose(raw)
    t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { type: 'CLOSE_REQ', reason: 'client-lost' })
    t.strictSame(await streamEnds(port), ['Canceled'])
    t.equal(port.listener.count(), 0)
    t.strictSame(port.counted('headRefused'), [], 'it spoke HTTP/2')
  })
}

for (const [what, hangUp] of [
  [
    'does not answer a PING',
    async (port: GrpcPort, raw: RawHttp2) => {
      raw.socket.pause()
      port.clock.advance(3_600_000)
      await eventually('it is asked', port.clock.waiting, (timers) => timers > 0)
      port.clock.advance(20_000)
    },
  ],
  ['is there when the server ends', async (port: GrpcPort) => port.listener.destroyAll()],
] as const) {
  t.test(`a client that ${what} is lost, and has not left in order`, async (t) => {
    const port = await grpcPort(t)
    const raw = await rawCall(port)
    await sendLast(port, raw)
    await hangUp(port, raw)
    t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { type: 'CLOSE_REQ', reason: 'client-lost' })
    raw.socket.resume()
    t.strictSame(await streamEnds(port), ['Canceled'])
  })
}

/** A call whose client has sent more than there is credit for, so that it is not read. */
async function unreadCall(port: GrpcPort): Promise<WireCall> {
  const call = await port.open(1)
  call.sendData(1, Buffer.alloc(CREDIT_BYTES))
  call.sendData(1, Buffer.from('last'))
  await eventually(
    'it is not read',
    () => port.counted('frontendPaused').length,
    (times) => times === 1,
  )
  return call
}

t.test('a client that closes in order while it is not read is heard when it is read again, all of it', async (t) => {
  const port = await grpcPort(t)
  const call = await unreadCall(port)
  const { session, carrier } = port.agent
  call.sendData(1, Buffer.from(' words'))
  call.stream.end()
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: MEBIBYTE })
  session.writable(carrier)
  const frames = await agentFrames(port, 'END_OF_DATA')
  const bytes = Buffer.concat(
    frames.flatMap((packet) => ((packet as Packet).type === 'DATA' ? [(packet as { data: Buffer }).data] : [])),
  )
  t.equal(bytes.toString('latin1', CREDIT_BYTES), 'last words')
  t.strictSame(await streamEnds(port), ['OK'])
})

t.test('a client that is not read and loses its connection is noticed', async (t) => {
  const port = await grpcPort(t)
  const call = await unreadCall(port)
  call.http.destroy()
  t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { reason: 'client-lost' })
  await eventually('the call is over', port.listener.count, (calls) => calls === 0)
  t.strictSame(port.counted('frontendPaused'), [[1], [-1]])
})

t.test('a client that asks on and on and does not read the answers is hung up on', async (t) => {
  const port = await grpcPort(t, { frontend: { maxViolations: Number.POSITIVE_INFINITY } })
  const call = await port.open(1)
  const other = await port.call()
  call.stream.pause()
  const dials = Buffer.concat(
    Array.from({ length: 1_000 }, () => grpcMessage(Buffer.from([0x12, 5, 0x0a, 3, 0x75, 0x64, 0x70]))),
  )
  for (let round = 0; round < 100; round++) {
    const written = await new Promise((resolve) => call.stream.write(dials, (error) => resolve(!error)))
    if (!written) break
  }
  await call.closed
  t.equal(call.stream.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  t.match((await agentFrames(port, 'CLOSE_REQ')).at(-1), { reason: 'client-lost' })
  t.strictSame(await streamEnds(port), ['ResourceExhausted'])
  await caughtUp(other)
})

/** A call whose client has let so many bytes lie that HTTP/2 takes no more, and whose connection then breaks. */
async function brokenCall(port: GrpcPort): Promise<WireCall> {
  const call = await port.open(1)
  call.stream.pause()
  const { session, carrier } = port.agent
  session.receiveData(carrier, 1, Buffer.alloc(CREDIT_BYTES))
  session.receiveData(carrier, 1, Buffer.alloc(CREDIT_BYTES))
  await eventually(
    'it has left',
    () => port.metrics.frontendPackets.sent.DATA,
    (sent) => sent === 1,
  )
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'ECONNRESET' })
  return call
}

t.test('a client that leaves the bytes of a broken connection lie is hung up on after five seconds', async (t) => {
  const port = await grpcPort(t)
  const call = await brokenCall(port)
  port.clock.advance(4_999)
  t.equal(port.listener.count(), 1)
  port.clock.advance(1)
  await call.closed
  t.equal(call.stream.rstCode, constants.NGHTTP2_CANCEL)
  await eventually('the call is over', port.listener.count, (calls) => calls === 0)
})

t.test('one that takes them in time is not', async (t) => {
  const port = await grpcPort(t)
  const call = await brokenCall(port)
  call.stream.resume()
  await call.data(1, 2 * CREDIT_BYTES)
  t.match(await call.next('CLOSE_RSP'), { error: 'ECONNRESET' })
  await eventually(
    'the server knows',
    () => port.counted('frontendWrote').length,
    (writes) => writes === 1,
  )
  port.clock.advance(5_000)
  await caughtUp(call)
  t.equal(call.bytesOf(1).length, 2 * CREDIT_BYTES)
})

t.test(
  'what a client has not taken of a finished connection is given up, with the call, when too much waits',
  async (t) => {
    const port = await grpcPort(t)
    const call = await port.open(1)
    call.stream.pause()
    const { session, carrier, budget } = port.agent
    for (let piece = 0; piece < 2; piece++) session.receiveData(carrier, 1, Buffer.alloc(CREDIT_BYTES))
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
    await eventually('it is over', session.connectionCount, (open) => open === 0)
    t.ok(budget.usedBytes > 0)
    budget.closeLargest()
    await call.closed
    t.equal(budget.usedBytes, 0)
    await eventually('the call is over', port.listener.count, (calls) => calls === 0)
  },
)

t.test('counts what it carries', async (t) => {
  const port = await grpcPort(t)
  port.clock.advance(100)
  const call = await port.open(1) // which takes 10 ms
  const { session, carrier } = port.agent
  const question = Buffer.alloc(40 * KIB, 'f') // more than one frame of HTTP/2
  call.sendData(1, question)
  await eventually(
    'it has come',
    () => port.metrics.bytes.fromSockets,
    (bytes) => bytes === question.length,
  )
  session.receiveData(carrier, 1, Buffer.from('three'))
  await call.data(1, 5)
  call.send(closeRequest(1))
  t.match(await call.next('CLOSE_RSP'), { connectId: 1, error: '' })
  call.stream.end()
  await call.closed
  const { received, sent } = port.metrics.frontendPackets
  t.match(received, { DIAL_REQ: 1, DATA: 1, CLOSE_REQ: 1 })
  t.match(sent, { DIAL_RSP: 1, DATA: 1, CLOSE_RSP: 1 })
  t.strictSame(port.metrics.bytes, { fromSockets: question.length, toSockets: 5 })
  t.strictSame(port.counted('connectionEnded'), [[10, 'finished']])
  t.equal(port.counted('frontendStreamOpened').length, 1)
  t.strictSame(port.counted('frontendWrote'), [[0]])
})

t.test('a call counts until it is over, and leaves neither bytes nor timers', async (t) => {
  const port = await grpcPort(t, { extensions: noExtensions })
  const { session, carrier, budget } = port.agent
  const call = await port.open(1)
  call.stream.pause()
  call.send(dialRequest('10.0.0.2:80', 6))
  await carrier.next(({ type }) => type === 'DIAL_REQ')
  session.receive(carrier, { type: 'DIAL_RSP', error: 'no', connectId: 0, random: 6 })
  for (let piece = 0; piece < 4; piece++) session.receiveData(carrier, 1, Buffer.alloc(128 * KIB)) // more than one round
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  await eventually(
    'a piece is under way',
    () => port.metrics.frontendPackets.sent.DATA,
    (sent) => sent > 0,
  )
  t.equal(port.listener.count(), 1)
  t.ok(budget.usedBytes > 0)
  call.http.destroy()
  await eventually('the call is over', port.listener.count, (calls) => calls === 0)
  t.equal(budget.usedBytes, 0)
  await eventually('no timer is left', port.clock.waiting, (timers) => timers === 0)
})

t.test('a call whose dial has failed counts as long as its client keeps it', async (t) => {
  const port = await grpcPort(t)
  const { session, carrier } = port.agent
  const call = await port.call()
  call.send(dialRequest('10.0.0.1:80', 5))
  await carrier.next(({ type }) => type === 'DIAL_REQ')
  session.receive(carrier, { type: 'DIAL_RSP', error: 'no', connectId: 0, random: 5 })
  t.match(await call.next('DIAL_RSP'), { error: 'no' })
  t.strictSame([port.listener.count(), port.listener.busy()], [1, false])
})

t.test('names what this server broke a connection for', async (t) => {
  const port = await grpcPort(t)
  const call = await port.open(1)
  const { session, carrier } = port.agent
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 0 })
  t.match(await call.next('CLOSE_RSP'), { error: 'flow-control-violation' })
  t.strictSame(port.counted('connectionForced'), [['flow-control-violation']])
})

t.test('and not what an agent or a target broke it for, whatever that is called', async (t) => {
  const port = await grpcPort(t)
  const { session, carrier } = port.agent
  for (const [id, error] of [
    [1, 'flow-control-violation'],
    [2, 'ECONNRESET'],
  ] as const) {
    const call = await port.open(id)
    session.receive(carrier, { type: 'CLOSE_RSP', connectId: id, error })
    t.match(await call.next('CLOSE_RSP'), { error })
    t.match(port.log.lines.at(-1), {
      level: 'debug',
      message: 'connection reset',
      fields: { by: 'peer', reason: error },
    })
  }
  t.strictSame(port.counted('connectionForced'), [])
})

t.test('an agent’s dial is given up when its time is over', async (t) => {
  const port = await grpcPort(t, { dialTimeoutMs: 30_000 })
  const call = await port.call()
  call.send(dialRequest('10.0.0.1:80', 5))
  await port.agent.carrier.next(({ type }) => type === 'DIAL_REQ')
  port.clock.advance(30_000)
  t.match(await call.next('DIAL_RSP'), { random: 5, error: 'timed out waiting for backend dial' })
  t.match(await agentFrames(port, 'DIAL_CLS'), [{ type: 'DIAL_REQ' }, { type: 'DIAL_CLS', random: 5 }])
})
