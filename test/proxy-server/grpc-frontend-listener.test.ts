import { once } from 'node:events'
import { constants } from 'node:http2'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { callHeaders, data, type Frame, frame, ping, settings, speakRawHttp2 } from '../integration/raw-http2.ts'
import { dialRequest, openCall, type WireCall } from '../integration/wire-call.ts'
import { leaves } from './agent-port.ts'
import { grpcPort } from './grpc-port.ts'

const KEEPALIVE_MS = 30_000
const ANSWER_MS = 20_000

/** The server answers on this call. */
async function serves(call: WireCall): Promise<void> {
  call.send(dialRequest('x:1', 99, 'udp'))
  await call.next('DIAL_RSP')
}

t.test('serves whoever has a certificate for clients, under its name', async (t) => {
  const port = await grpcPort(t, { tls: true })
  const call = openCall(await port.join(leaves.user))
  await serves(call)
  call.stream.end()
  t.match(await call.ended(), { code: 0 })
})

const stranger = await issueLeaf(await createAuthority({ trustDomain: 'hub.example' }), {
  identity: { role: 'user', name: 'mallory' },
})
for (const [whose, who, cause] of [
  ['no certificate', 'none', 'none was sent'],
  ['the certificate of another CA', stranger, /^it was not issued by the CA of this server$|^it does not verify/],
  [
    'the certificate of an agent',
    leaves.agent,
    'it is an agent certificate, and this port is for apiserver and user certificates',
  ],
  ['the certificate of a server', leaves.server, 'it is not a certificate for clients'],
] as const) {
  t.test(`tells a client with ${whose} why it is not served`, async (t) => {
    const port = await grpcPort(t, { tls: true })
    const http = await port.join(who)
    const { code, message } = await openCall(http).ended()
    t.equal(code, 16)
    const [, told = ''] = /^client certificate not accepted: (.*)$/.exec(message) ?? []
    t.match(told, cause)
    t.strictSame(port.counted('clientForbidden'), [['frontend']])
    t.strictSame(port.counted('headRefused'), [['forbidden']])
    t.equal(port.listener.count(), 0)
    http.destroy()
    await eventually('no timer is left', port.clock.waiting, (timers) => timers === 0)
  })
}

t.test('hangs up on a client whose certificate is not accepted after ten seconds, whatever it does', async (t) => {
  const port = await grpcPort(t, { tls: true })
  const accepted = openCall(await port.join())
  await serves(accepted)
  const refused = openCall(await port.join('none'))
  t.match(await refused.ended(), { code: 16 })
  const hungUp = event(refused.http, 'close')
  port.clock.advance(9_999)
  t.match(await openCall(refused.http).ended(), { code: 16 }, 'until then it is told why')
  port.clock.advance(1)
  await hungUp
  await serves(accepted)
})

t.test('hangs up on connections over the limit, until another one has gone', async (t) => {
  const port = await grpcPort(t, { listener: { maxCalls: 2 } })
  const [first, second] = [await port.join(), await port.join()]
  const call = openCall(first)
  await serves(call)
  await within(new Promise((resolve) => second.ping(resolve)), 'the second one is there')
  await event((await port.connect()).resume(), 'close')
  t.equal(port.counted('frontendDropped').length, 1)
  second.destroy()
  await eventually(
    'there is room again',
    async () => {
      const next = openCall(await port.join())
      return Promise.race([serves(next).then(() => true), next.closed.then(() => false)]).catch(() => false)
    },
    Boolean,
  )
  await serves(call)
})

for (const contentType of ['text/plain', 'application/grpcx', 'application/json', undefined]) {
  t.test(`refuses a call whose content type is ${contentType}`, async (t) => {
    const port = await grpcPort(t)
    const http = await port.join()
    const call = openCall(http, { headers: { 'content-type': contentType } })
    const [headers] = (await within(once(call.stream, 'response'), 'the answer')) as [Record<string, unknown>]
    t.equal(headers[':status'], 415)
    const message = `invalid gRPC request content-type ${JSON.stringify(contentType ?? '')}`
    t.strictSame(await call.ended(), { code: 3, message })
    t.strictSame(port.counted('headRefused'), [['content-type']])
    await serves(openCall(http))
  })
}

for (const contentType of ['application/grpc+proto', 'application/grpc;charset=utf-8', 'Application/gRPC']) {
  t.test(`serves a call whose content type is ${contentType}`, async (t) => {
    const port = await grpcPort(t)
    await serves(openCall(await port.join(), { headers: { 'content-type': contentType } }))
  })
}

for (const [what, options, code, message, why] of [
  [
    'another method of the service',
    { path: '/ProxyService/Other' },
    12,
    'unknown method Other for service ProxyService',
    'unknown-method',
  ],
  ['another service', { path: '/AgentService/Connect' }, 12, 'unknown service AgentService', 'unknown-method'],
  ['a path that is none', { path: '/x' }, 12, 'malformed method name: "/x"', 'unknown-method'],
  [
    'a call that is compressed',
    { headers: { 'grpc-encoding': 'gzip' } },
    12,
    'grpc: Decompressor is not installed for grpc-encoding "gzip"',
    'encoding',
  ],
  [
    'a header list that is too long',
    { headers: { a: 'x'.repeat(16_384) } },
    8,
    'the header list is over the limit of 16384 bytes',
    'too-large',
  ],
] as const) {
  t.test(`refuses ${what}, and a client that leaves its side open leaves nothing`, async (t) => {
    const port = await grpcPort(t)
    const http = await port.join()
    const call = openCall(http, { ...options, lingers: true })
    t.strictSame(await call.ended(), { code, message })
    await within(call.closed, 'the stream is closed')
    t.equal(call.stream.rstCode, constants.NGHTTP2_NO_ERROR)
    t.strictSame(port.counted('headRefused'), [[why]])
    await serves(openCall(http))
  })
}

t.test('refuses a call over their limit, until another one has ended', async (t) => {
  const port = await grpcPort(t, { listener: { maxCalls: 2 } })
  const http = await port.join()
  const [first, second] = [openCall(http), openCall(http)]
  await serves(first)
  await serves(second)
  t.match(await openCall(http).ended(), { code: 8, message: 'the limit of 2 calls is reached' })
  t.equal(port.counted('frontendDropped').length, 1)
  first.stream.end()
  await eventually('one has ended', port.listener.count, (calls) => calls === 1)
  await serves(openCall(http))
})

t.test('a call that is not read holds up no other of its connection, whatever waits for either', async (t) => {
  const port = await grpcPort(t, { extensions: noExtensions })
  const http = await port.join()
  const { session, carrier } = port.agent
  const dialled = async (id: number): Promise<WireCall> => {
    const call = openCall(http)
    const answer = call.dial('10.0.0.1:80', id)
    await carrier.next((packet) => packet.type === 'DIAL_REQ' && packet.random === id)
    session.receive(carrier, { type: 'DIAL_RSP', error: '', connectId: id, random: id })
    await answer
    port.clock.advance(10)
    return call
  }
  const [unread, other] = [await dialled(1), await dialled(2)]
  unread.stream.pause()
  const bytes = Buffer.alloc(128 * 1024)
  for (let piece = 0; piece < 8; piece++) {
    for (const id of [1, 2]) session.receiveData(carrier, id, bytes)
  }
  t.equal((await other.data(2, 8 * bytes.length)).length, 8 * bytes.length)
  unread.stream.resume()
  t.equal((await unread.data(1, 8 * bytes.length)).length, 8 * bytes.length)
})

t.test('hangs up on a connection that says nothing for ten seconds', async (t) => {
  const port = await grpcPort(t)
  const silent = await port.connect()
  const call = await port.call()
  await serves(call)
  const ended = event(silent.resume(), 'close')
  port.clock.advance(9_999)
  t.notOk(silent.destroyed)
  port.clock.advance(1)
  await ended
  t.strictSame(port.counted('headRefused'), [['slow']])
  await serves(call)
})

t.test('hangs up on a connection that speaks another protocol', async (t) => {
  const port = await grpcPort(t)
  for (const bytes of [
    'CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
    '\x16\x03\x01\x00\xa5\x01',
    '\0'.repeat(100),
  ]) {
    const socket = await port.connect()
    const ended = event(socket.resume(), 'close')
    socket.write(bytes)
    await ended
  }
  t.strictSame(port.counted('headRefused'), [['malformed'], ['malformed'], ['malformed']])
  await eventually('no timer is left', port.clock.waiting, (timers) => timers === 0)
  await serves(await port.call())
})

t.test('hangs up on a connection with frames that say nothing, by the thousand, and counts it', async (t) => {
  const port = await grpcPort(t)
  const raw = speakRawHttp2(await port.connect())
  const ended = event(raw.socket, 'close')
  raw.write(callHeaders(1), ...Array.from({ length: 2_000 }, () => data(1, Buffer.alloc(0))))
  await ended
  t.strictSame(port.counted('headRefused'), [['malformed']])
  await serves(await port.call())
})

t.test('asks a client now and then whether it is there, and hangs up on one that does not say so', async (t) => {
  const port = await grpcPort(t, { listener: { keepaliveMs: KEEPALIVE_MS } })
  const raw = speakRawHttp2(await port.connect(), { polite: false })
  const asked = (): Frame[] => raw.received.filter(({ type, flags }) => type === 'PING' && flags === 0)
  const answered = (): Frame[] => raw.received.filter(({ type, flags }) => type === 'PING' && flags !== 0)
  raw.write(settings(true))
  await raw.next(({ type }) => type === 'SETTINGS')
  const ended = event(raw.socket, 'close')
  for (const round of [1, 2, 3]) {
    port.clock.advance(KEEPALIVE_MS - 1)
    t.equal(asked().length, round - 1)
    port.clock.advance(1)
    await eventually('a ping', asked, (pings) => pings.length === round)
    if (round === 3) break
    raw.write(ping(true, asked().at(-1)!.payload), ping())
    await eventually('its answer was read', answered, (pings) => pings.length === round)
  }
  port.clock.advance(ANSWER_MS - 1)
  t.notOk(raw.socket.destroyed)
  port.clock.advance(1)
  await ended
})

t.test('a client that hangs up in the middle of a ping, or of its own GOAWAY, is no trouble', async (t) => {
  const port = await grpcPort(t, { listener: { keepaliveMs: KEEPALIVE_MS } })
  const raw = speakRawHttp2(await port.connect(), { polite: false })
  raw.write(settings(true))
  await raw.next(({ type }) => type === 'SETTINGS')
  port.clock.advance(KEEPALIVE_MS)
  await raw.next(({ type }) => type === 'PING')
  raw.socket.end(frame('GOAWAY', 0, 0, Buffer.alloc(8)))
  await event(raw.socket, 'close')
  port.clock.advance(ANSWER_MS + KEEPALIVE_MS)
  await serves(await port.call())
})

t.test(
  'a connection that is being closed, with a client that does not close it, is hung up on and not asked any more',
  async (t) => {
    const port = await grpcPort(t, { listener: { keepaliveMs: KEEPALIVE_MS } })
    const raw = speakRawHttp2(await port.connect(), { polite: false })
    raw.write(settings(true))
    raw.socket.allowHalfOpen = true
    await raw.next(({ type }) => type === 'SETTINGS')
    port.listener.goAway()
    await event(raw.socket, 'end')
    port.clock.advance(KEEPALIVE_MS)
    await eventually(
      'what is written fails',
      () => raw.write(ping()),
      () => raw.socket.destroyed,
    )
    t.notOk(raw.received.some(({ type }) => type === 'PING'))
    await serves(await port.call())
  },
)

t.test(
  'going away is told to clients; what runs goes on, and what comes on another connection is served',
  async (t) => {
    const port = await grpcPort(t)
    const running = await port.open(1)
    const idle = await port.join()
    await serves(openCall(idle)).catch(() => undefined)
    const told = event(running.http, 'goaway')
    port.listener.goAway()
    await told
    const { session, carrier } = port.agent
    session.receiveData(carrier, 1, Buffer.from('still'))
    t.equal((await running.data(1, 5)).toString(), 'still')
    await serves(running)
    await serves(await port.call())
    const closed = event(running.http, 'close')
    running.stream.end()
    t.match(await running.ended(), { code: 0 })
    await closed
  },
)

t.test('is busy while a call has a dial or a connection, and not for calls that have none', async (t) => {
  const port = await grpcPort(t)
  t.notOk(port.listener.busy())
  const idle = await port.call()
  await serves(idle)
  t.notOk(port.listener.busy())
  const call = await port.open(1)
  t.ok(port.listener.busy())
  t.equal(port.listener.count(), 2)
  call.stream.end()
  await eventually('it has ended', port.listener.busy, (busy) => !busy)
})

t.test('remembers when a call was last opened, whatever came of it', async (t) => {
  const port = await grpcPort(t)
  t.equal(port.listener.lastCallMs(), Number.NEGATIVE_INFINITY)
  port.clock.advance(7)
  const call = await port.call()
  await within(new Promise((answered) => call.stream.once('response', answered)), 'an answer')
  port.clock.advance(7)
  t.equal(port.listener.lastCallMs(), 7)
})

t.test('told to go, it tells those who come later as well, a second after they came', async (t) => {
  const port = await grpcPort(t)
  const before = await port.join()
  await serves(openCall(before))
  const told = event(before, 'goaway')
  port.listener.goAway()
  t.equal(await told, 0)
  const late = await port.join()
  const call = openCall(late)
  await serves(call)
  port.clock.advance(999)
  await serves(openCall(late))
  const toldToo = event(late, 'goaway')
  port.clock.advance(1)
  t.equal(await toldToo, 0)
  await serves(call)
  await serves(openCall(await port.join()))
})

t.test('once dismissed, it ends calls that have nothing open, and knows who has not hung up yet', async (t) => {
  const port = await grpcPort(t)
  const running = await port.open(1)
  const idle = await port.call()
  await serves(idle)
  t.equal(port.listener.leaving(), 2)
  port.listener.dismissIdle()
  t.strictSame(await idle.ended(), { code: 14, message: 'the server is shutting down' })
  await eventually('it has hung up', port.listener.leaving, (clients) => clients === 1)
  t.notOk(running.stream.closed)
  t.notOk(port.log.lines.some(({ message }) => message === 'call ended by the server'))
})

t.test('once dismissed, it refuses what comes and hangs up on who has nothing open', async (t) => {
  const port = await grpcPort(t)
  const running = await port.open(1)
  const idle = await port.join()
  await within(new Promise((resolve) => idle.ping(() => resolve(undefined))), 'it is connected')
  const hungUp = event(idle, 'close')
  port.listener.dismissIdle()
  await hungUp
  running.send(dialRequest('10.0.0.1:80', 9))
  t.match(await running.next('DIAL_RSP'), { random: 9, error: 'the server is shutting down' })
  const { session, carrier } = port.agent
  session.receiveData(carrier, 1, Buffer.from('still'))
  t.equal((await running.data(1, 5)).toString(), 'still')
  const late = speakRawHttp2(await port.connect())
  await late.next(({ type }) => type === 'GOAWAY')
  const broken = within(running.closed, 'the end')
  port.listener.destroyAll()
  await broken
  await eventually('nothing is left', port.listener.count, (calls) => calls === 0)
})
