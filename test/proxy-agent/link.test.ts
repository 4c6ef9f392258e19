import type { LookupAddress } from 'node:dns'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import http2, {
  createSecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import { syncBuiltinESMExports } from 'node:module'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import { versionOf } from '../../src/policy/policy.ts'
import { systemNetwork } from '../../src/proxy-agent/dialer.ts'
import { PUSHES } from '../../src/proxy-agent/gate.ts'
import { openLink } from '../../src/proxy-agent/link.ts'
import type { Link, LinkOptions } from '../../src/proxy-agent/link-owner.ts'
import { createLookups, type Lookup } from '../../src/proxy-agent/lookups.ts'
import { createOpenSockets } from '../../src/proxy-agent/open-sockets.ts'
import { LISTS } from '../../src/proxy-agent/server-lists.ts'
import { createBudget } from '../../src/tunnel/budget.ts'
import { offered, without, writeExtensions } from '../../src/tunnel/extensions.ts'
import { LONG_PATH_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES } from '../../src/tunnel/http2-windows.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { eventually, within } from '../integration/deadline.ts'
import { closedPort } from '../integration/target.ts'
import { speakGrpc } from '../integration/wire.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { roomyLimits } from '../tunnel/one-session.ts'
import { recordedMetrics } from './recorded-metrics.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const server = await issueLeaf(authority, {
  identity: { role: 'server', id: 'hub-0' },
  dnsNames: ['localhost'],
  ipAddresses: ['127.0.0.1'],
})
const ca = authority.certificatePem
const taken: OutgoingHttpHeaders = {
  ':status': 200,
  'content-type': 'application/grpc',
  serverid: 's-1',
  servercount: '3',
  'culvert-extensions': writeExtensions(offered),
}

type Asked = { readonly stream: ServerHttp2Stream; readonly headers: IncomingHttpHeaders }

/** A server made by hand, which answers nothing by itself, and a link to it. */
async function setup(t: Test, options: Partial<LinkOptions> = {}, lookup?: Lookup) {
  const listener = createSecureServer({ cert: server.certificatePem, key: server.keyPem, ALPNProtocols: ['h2'] })
  const asked = Promise.withResolvers<Asked>()
  listener.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined)
    asked.resolve({ stream, headers })
  })
  listener.on('session', (session) => {
    session.on('error', () => undefined)
    t.teardown(() => session.destroy())
  })
  listener.listen(0, '127.0.0.1')
  t.teardown(() => listener.close())
  await once(listener, 'listening')
  const world = open(t, (listener.address() as AddressInfo).port, options, lookup)
  return { ...world, listener, asked: () => within(asked.promise, 'a stream') }
}

function open(t: Test, port: number, options: Partial<LinkOptions> = {}, lookup = createLookups()) {
  const clock = manualClock()
  const metrics = recordedMetrics()
  const log = recordedLog()
  const audited: AuditRecord[] = []
  /** Connections whose servers are looked at, and who is told. */
  const held: { readonly socket: TLSSocket; readonly lost: (why: string) => void }[] = []
  /** What the link told its owner, in order. */
  const told: unknown[][] = []
  const link: Link = openLink(
    {
      host: '127.0.0.1',
      port,
      material: () => ({ ca }),
      protocol: tlsProtocol('', []),
      alpn: [],
      tokenFile: '',
      currentToken: () => '',
      agentId: 'a-1',
      identifiers: 'host=n1',
      userAgent: 'test/1',
      maxMessageBytes: 65_536,
      heartbeatIntervalMs: 5_000,
      heartbeatTimeoutMs: 12_000,
      probeIntervalMs: 1_000,
      drainQuietMs: 2_000,
      dialTimeoutMs: 5_000,
      hubRanges: [],
      streamBufferBytes: 64 * 2 ** 20,
      lanes: 4,
      limits: roomyLimits,
      ...options,
    },
    {
      clock,
      log,
      metrics,
      processBudget: createBudget(256 * 2 ** 20),
      sockets: createOpenSockets(),
      standing: { hold: (socket, lost) => void held.push({ socket, lost }), refusal: () => undefined },
      network: systemNetwork(lookup),
      policy: () => undefined,
      audit: (record) => void audited.push(record),
      random: Math.random,
      health: ({ roundTripMs }) => ({ uptimeMs: 1, ...(roundTripMs !== undefined && { roundTripUs: roundTripMs }) }),
    },
    {
      connected: (self, count) => told.push(['connected', self === link && self.serverId, count]),
      gone: (self, reason, wasConnected) => told.push(['gone', reason, wasConnected, self === link]),
      leaving: (self, reconnectAfterMs) => told.push(['leaving', self === link, reconnectAfterMs]),
      drained: (self) => told.push(['drained', self === link]),
      listed: (self, replicas) => told.push(['listed', self === link, replicas]),
    },
  )
  t.teardown(() => {
    link.end('the test is over')
    clock.advance(60_000)
  })
  const told_ = (count: number): Promise<unknown> =>
    eventually(
      `${count} events`,
      () => told,
      ({ length }) => length >= count,
    )
  /** Time passes for as long as something is still waited for. */
  const gone = (): Promise<unknown> =>
    eventually(
      'the end',
      () => {
        clock.advance(0)
        return told
      },
      (events) => events.some(([event]) => event === 'gone'),
    )
  return { link, clock, metrics, log, audited, held, told, tells: told_, gone }
}

/** A link whose server has taken it. */
async function connected(
  t: Test,
  answer: OutgoingHttpHeaders = taken,
  options: Partial<LinkOptions> = {},
  lookup?: Lookup,
) {
  const world = await setup(t, options, lookup)
  const { stream } = await world.asked()
  stream.respond(answer, { waitForTrailers: true })
  await world.tells(1)
  return { ...world, stream, wire: speakGrpc(stream) }
}

/** The link has read what was sent to it. */
const read = (stream: ServerHttp2Stream): Promise<unknown> =>
  within(new Promise((resolve) => stream.session?.ping(resolve)), 'the answer to a ping')

t.test('asks for the stream as a stock agent does, and offers what it can', async (t) => {
  const { headers } = await (await setup(t)).asked()
  t.match(headers, {
    ':method': 'POST',
    ':path': '/AgentService/Connect',
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'test/1',
    agentid: 'a-1',
    agentidentifiers: 'host=n1',
    'culvert-extensions': writeExtensions(without(offered, 'new-token')),
  })
})

t.test('shows the token in its file, as it is by now', async (t) => {
  const tokenFile = join(t.testdir({ token: 'hunter2\n' }), 'token')
  for (const token of ['hunter2', 'hunter3']) {
    writeFileSync(tokenFile, `${token}\n`)
    const { headers } = await (await setup(t, { tokenFile })).asked()
    t.equal(headers.authorization, `Bearer ${token}`)
    t.equal(headers['culvert-extensions'], writeExtensions(offered), 'and would show the next one')
  }
  t.notOk('authorization' in (await (await setup(t)).asked()).headers, 'none, where no file is named')
})

t.test('does not even connect without the token that it should show, and says so', async (t) => {
  const tokenFile = join(t.testdir(), 'token')
  const { link, gone, told, listener, clock } = await setup(t, { tokenFile })
  listener.on('connection', () => t.fail('it connects'))
  t.strictSame(told, [])
  for (const act of [link.drain, link.finish, () => link.end('x')]) act()
  await gone()
  t.match(told, [['gone', /token: there is no such file/, false, true]])
  clock.advance(60_000)
  t.equal(told.length, 1)
})

t.test('shows no token to a server that it does not trust', async (t) => {
  const stranger = await createAuthority({ trustDomain: 'hub.example' })
  const tokenFile = join(t.testdir({ token: 'hunter2' }), 'token')
  const { listener, gone, told } = await setup(t, { tokenFile, material: () => ({ ca: stranger.certificatePem }) })
  let heard = 0
  listener.on('secureConnection', (socket) => socket.on('data', (data: Buffer) => (heard += data.length)))
  listener.on('stream', () => t.fail('it asks'))
  await gone()
  t.match(told, [['gone', /certificate/, false]])
  t.equal(heard, 0, 'not a byte of HTTP')
})

t.test('is connected when the server answers, not before', async (t) => {
  const { link, told, asked, tells, clock } = await setup(t)
  const { stream } = await asked()
  t.strictSame([told, link.session(), link.serverId], [[], undefined, ''])
  stream.respond(taken)
  await tells(1)
  t.strictSame(told, [['connected', 's-1', 3]])
  t.ok(link.session())
  t.equal(clock.waiting(), 0, 'the wait for the answer is over')
})

t.test('tells why a server does not take it, and counts as never connected', async (t) => {
  const answers: [OutgoingHttpHeaders, string][] = [
    [{ ':status': 200, 'grpc-status': '16', 'grpc-message': 'no 100%25' }, 'gRPC status 16: no 100%'],
    [{ ':status': 503 }, 'the server answered with HTTP status 503'],
    [{ ...taken, serverid: undefined }, 'expected one server ID in the context, got []'],
    [{ ...taken, servercount: 'many' }, 'expected one server count, got [many]'],
  ]
  for (const [answer, reason] of answers) {
    const { asked, gone, told } = await setup(t)
    const { stream } = await asked()
    stream.respond(answer, { endStream: answer['grpc-status'] !== undefined })
    await gone()
    t.strictSame(told, [['gone', reason, false, true]])
  }
})

t.test('tells why it cannot reach a server', async (t) => {
  const address = await closedPort()
  const { gone, told, clock } = open(t, Number(address.split(':')[1]))
  await gone()
  t.strictSame(told, [['gone', `connect ECONNREFUSED ${address}`, false, true]])
  clock.advance(60_000)
  t.equal(clock.waiting(), 0)
  t.equal(told.length, 1)
})

t.test('trusts no server of another CA or of another name', async (t) => {
  const stranger = await createAuthority({ trustDomain: 'hub.example' })
  const other = await setup(t, { material: () => ({ ca: stranger.certificatePem }) })
  await other.gone()
  t.match(other.told, [['gone', /self-signed certificate in certificate chain|unable to verify|local issuer/, false]])
  const { listener } = await setup(t)
  const named = open(t, (listener.address() as AddressInfo).port, { host: '127.0.0.1', material: () => ({ ca }) })
  t.teardown(() => named.link.end('the test is over'))
  const elsewhere = await issueLeaf(authority, {
    identity: { role: 'server', id: 'x' },
    dnsNames: ['elsewhere.example'],
  })
  const wrong = createSecureServer({ cert: elsewhere.certificatePem, key: elsewhere.keyPem }).listen(0, '127.0.0.1')
  t.teardown(() => wrong.close())
  await once(wrong, 'listening')
  const misled = open(t, (wrong.address() as AddressInfo).port)
  await misled.gone()
  t.match(misled.told, [['gone', /does not match certificate's altnames/, false]])
})

/** Accepts connections and says nothing. */
async function silent(t: Test): Promise<{ readonly port: number; readonly sockets: Socket[] }> {
  const sockets: Socket[] = []
  const listener: Server = createServer((socket) => sockets.push(socket.on('error', () => undefined))).listen(
    0,
    '127.0.0.1',
  )
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  await once(listener, 'listening')
  return { port: (listener.address() as AddressInfo).port, sockets }
}

t.test('waits ten seconds for a server that does not even speak TLS, and says so', async (t) => {
  const { port, sockets } = await silent(t)
  const { clock, told, audited, gone } = open(t, port)
  await eventually('the connection', () => sockets.length, Boolean)
  clock.advance(9_999)
  t.strictSame(told, [])
  clock.advance(1)
  await gone()
  t.strictSame(told, [['gone', 'no answer within 10000 ms', false, true]])
  t.strictSame(audited, [], 'it may be anybody, or nobody')
})

t.test('waits ten seconds for the address of a server, and asks for none but that', async (t) => {
  const names: string[] = []
  const hanging = createLookups((name) => {
    names.push(name)
    return new Promise(() => {})
  })
  const { clock, told, gone } = open(t, 1, { host: 'hub.example' }, hanging)
  clock.advance(10_000)
  await gone()
  t.strictSame(told, [['gone', 'no answer within 10000 ms', false, true]])
  t.strictSame(names, ['hub.example'])
})

t.test('waits ten seconds for the answer of a server that is half dead, and heeds none that comes later', async (t) => {
  const { clock, told, audited, asked, gone } = await setup(t)
  const { stream } = await asked()
  clock.advance(10_000)
  stream.respond(taken)
  await read(stream)
  t.strictSame(told, [])
  await gone()
  t.strictSame(told, [['gone', 'no answer within 10000 ms', false, true]])
  t.match(audited, [{ event: 'server', verdict: 'refused', reason: 'no answer within 10000 ms' }])
})

t.test('an end that we ask for before the answer is told of with our reason, once', async (t) => {
  const { clock, link, told, asked, gone } = await setup(t)
  await asked()
  link.end('draining')
  link.end('stopped')
  await gone()
  clock.advance(60_000)
  t.strictSame(told, [['gone', 'draining', false, true]])
  t.equal(clock.waiting(), 0)
})

t.test('an end that we ask for later breaks its connections and closes what it has', async (t) => {
  const { link, clock, told, stream, gone } = await connected(t)
  const closed = once(stream.session!, 'close')
  link.end('duplicate server: s-1')
  clock.advance(500)
  await gone()
  await within(closed, 'the end of the connection')
  t.strictSame(told.slice(1), [['gone', 'duplicate server: s-1', true, true]])
  clock.advance(60_000)
  t.equal(clock.waiting(), 0)
})

t.test("tells the server's reason when that ends the stream", async (t) => {
  const { told, stream, gone } = await connected(t)
  stream.on('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': '14', 'grpc-message': 'the server is shutting down' }),
  )
  stream.end()
  await gone()
  t.strictSame(told.slice(1), [['gone', 'gRPC status 14: the server is shutting down', true, true]])
})

t.test('tells of a connection that is lost', async (t) => {
  const { told, stream, gone } = await connected(t)
  stream.session?.destroy()
  await gone()
  t.match(told.slice(1), [['gone', /./, true, true]])
})

t.test('names how a stream ended as gRPC does', async (t) => {
  const tooLarge = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff])
  const endings: [string, (stream: ServerHttp2Stream, sendRaw: (bytes: Buffer) => void) => void][] = [
    ['OK', (stream) => stream.end()],
    ['Unavailable', (stream) => stream.session?.destroy()],
    ['Internal', (_stream, sendRaw) => sendRaw(Buffer.from('0000000001ff', 'hex'))],
    ['ResourceExhausted', (_stream, sendRaw) => sendRaw(tooLarge)],
  ]
  for (const [code, end] of endings) {
    const { link, stream, wire, gone, clock } = await connected(t)
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    end(stream, wire.sendRaw)
    await eventually('the code', link.endCode, (found) => found === code)
    clock.advance(500)
    await gone()
    t.equal(link.endCode(), code)
  }
})

t.test('says how it is at once and then in its interval, with the round trip of the last one', async (t) => {
  const { clock, wire } = await connected(t)
  t.match(await wire.next('HEARTBEAT'), { seq: 1, sentUnixMs: 0, health: { uptimeMs: 1 } })
  clock.advance(4)
  wire.send({ type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 0 })
  clock.advance(4_996)
  t.match(await wire.next('HEARTBEAT'), { seq: 2, sentUnixMs: 5_000 })
})

t.test('lets a server at the end of a long path send far ahead', async (t) => {
  for (const [roundTripMs, windowBytes] of [
    [20, LONG_PATH_STREAM_WINDOW_BYTES],
    [9, STREAM_WINDOW_BYTES],
  ] as const) {
    const { clock, wire, stream } = await connected(t)
    for (const seq of [1, 2, 3]) {
      await wire.next('HEARTBEAT')
      clock.advance(roundTripMs)
      wire.send({ type: 'HEARTBEAT_ACK', seq, serverUnixMs: 0 })
      wire.send({ type: 'PING', nonce: seq })
      await wire.next('PONG') // it has read the answer
      clock.advance(5_000 - roundTripMs)
    }
    await new Promise((resolve) => stream.session!.ping(resolve))
    t.equal(stream.session!.remoteSettings.initialWindowSize, windowBytes)
  }
})

t.test('is looked at as often as --probe-interval says, and at least twice a second', async (t) => {
  const timers = t.capture(globalThis, 'setInterval', setInterval)
  for (const [probeIntervalMs, everyMs] of [
    [1, 50],
    [200, 200],
    [60_000, 500],
  ] as const) {
    const { asked, tells } = await setup(t, { probeIntervalMs })
    const { stream } = await asked()
    timers()
    stream.respond(taken)
    await tells(1)
    t.match(
      timers().map(({ args }) => args[1]),
      [everyMs],
    )
  }
})

t.test('gives up a server that has said nothing for too long', async (t) => {
  const { clock, told, gone, wire } = await connected(t)
  await wire.next('HEARTBEAT')
  clock.advance(12_000)
  await eventually('the end', () => clock.waiting(), Boolean)
  clock.advance(500)
  await gone()
  t.strictSame(told.slice(1), [['gone', 'nothing heard from the server for too long', true, true]])
})

t.test('passes on that the server leaves, and stays', async (t) => {
  const { told, tells, wire, log } = await connected(t)
  wire.send({ type: 'GOING_AWAY', reason: 'shutdown', deadlineMs: 25_000, reconnectAfterMs: 250 })
  await tells(2)
  t.strictSame(told.slice(1), [['leaving', true, 250]])
  t.ok(log.messages('info').includes('server goes away'))
  wire.send({ type: 'PING', nonce: 5 })
  t.match(await wire.next('PONG'), { nonce: 5 })
})

t.test('has drained when the server has read of it and nothing is left, and can then be finished', async (t) => {
  const { link, told, tells, gone, wire, stream } = await connected(t)
  await wire.next('HEARTBEAT')
  link.drain()
  await wire.next('DRAIN')
  const { seq } = await wire.next('HEARTBEAT')
  t.equal(told.length, 1, 'not before the server has answered')
  wire.send({ type: 'HEARTBEAT_ACK', seq, serverUnixMs: 0 })
  await tells(2)
  t.strictSame(told.slice(1), [['drained', true]])
  const ended = once(stream, 'end')
  link.finish()
  await within(ended, 'the end of our side')
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end()
  await gone()
  t.equal(told.length, 3)
})

t.test('serves on, when it has drained, for as long as its server still asks for connections', async (t) => {
  const { link, told, tells, wire, clock } = await connected(t)
  const ask = async (random: number): Promise<void> => {
    wire.send({ type: 'DIAL_REQ', protocol: 'tcp', address: '127.0.0.1:0', random })
    t.match(await wire.next('DIAL_RSP'), { random })
  }
  await ask(1)
  clock.advance(1_999)
  await wire.next('HEARTBEAT')
  link.drain()
  await wire.next('DRAIN')
  const { seq } = await wire.next('HEARTBEAT')
  wire.send({ type: 'HEARTBEAT_ACK', seq, serverUnixMs: 0 })
  await ask(2)
  clock.advance(1_999)
  t.equal(told.length, 1)
  clock.advance(100)
  await tells(2)
  t.strictSame(told.slice(1), [['drained', true]])
})

t.test('a dial over the limit of the agent is in its audit log, under the id that the server knows', async (t) => {
  const { wire, audited } = await connected(t, taken, { limits: { ...roomyLimits, pendingDials: 0 } })
  wire.send({ type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:443', random: 7 })
  t.match(await wire.next('DIAL_RSP'), { random: 7, error: /its limit of 0 pending dials/ })
  t.match(
    audited.filter(({ event }) => event === 'dial'),
    [
      {
        id: 's-1/7',
        server: 's-1',
        destination: '10.0.0.1:443',
        verdict: 'refused',
        rule: 'limit',
        reason: /its limit of 0 pending dials/,
        outcome: undefined,
      },
    ],
  )
})

t.test('with a stock server it has drained when a ping that was sent after DRAIN is answered', async (t) => {
  const { link, told, tells, wire } = await connected(t, { ...taken, 'culvert-extensions': undefined })
  link.drain()
  await wire.next('DRAIN')
  await tells(2)
  t.strictSame(told.slice(1), [['drained', true]])
})

/** @returns the address of one who sends much to whoever comes */
async function bulkTarget(t: Test): Promise<string> {
  const target = createServer((socket) => {
    socket.on('error', () => undefined).end(Buffer.alloc(4 * 2 ** 20))
  }).listen(0, '127.0.0.1')
  t.teardown(() => target.close())
  await once(target, 'listening')
  return `127.0.0.1:${(target.address() as AddressInfo).port}`
}

t.test('a ping to a stock server leaves after what was sent before it, however much that is', async (t) => {
  const { link, stream, wire, clock, told, tells } = await connected(t, { ...taken, 'culvert-extensions': undefined })
  await read(stream) // the ping of the first tick has been answered
  const order: string[] = []
  stream.session?.on('ping', () => order.push('PING'))
  wire.onPacket(({ type }) => order.push(type))
  wire.send({ type: 'DIAL_REQ', protocol: 'tcp', address: await bulkTarget(t), random: 1 })
  await wire.next('DATA') // bulk is under way
  link.drain()
  await wire.next('DRAIN')
  await eventually(
    'the ping',
    () => order,
    (all) => all.includes('PING'),
  )
  t.ok(order.indexOf('DRAIN') < order.indexOf('PING'), order.filter((one) => one !== 'DATA').join())
  clock.advance(2_000)
  wire.send({ type: 'CLOSE_REQ', connectId: 1, reason: '' })
  await tells(2)
  t.strictSame(told.slice(1), [['drained', true]])
})

t.test('finishing and draining a link that is not connected is nothing', async (t) => {
  const { link, asked, told } = await setup(t)
  await asked()
  link.drain()
  link.finish()
  t.strictSame(told, [])
})

t.test('ends a link whose server sends what makes no sense', async (t) => {
  const { told, gone, wire, clock } = await connected(t)
  wire.sendRaw(Buffer.from('0000000001ff', 'hex'))
  await eventually('the end', () => clock.waiting(), Boolean)
  clock.advance(500)
  await gone()
  t.match(told.slice(1), [['gone', /varint/, true, true]])
})

t.test('is only gone when its connection breaks before it hears that it is made', async (t) => {
  const { connect } = http2
  const restore = (): void => {
    http2.connect = connect
    syncBuiltinESMExports()
  }
  t.teardown(restore)
  http2.connect = ((...args: Parameters<typeof connect>) => {
    const session = connect(...args)
    return session.once('connect', () => session.destroy()) // the first to hear of it
  }) as typeof connect
  syncBuiltinESMExports()
  const { told } = await setup(t)
  await eventually(
    'it is gone',
    () => told.length,
    (count) => count > 0,
  )
  t.match(told, [['gone', String, false]])
})

t.test('ends when the server pushes policies without end', async (t) => {
  const { wire, stream, clock, gone, told } = await connected(t)
  for (let count = 0; count <= PUSHES; count++) wire.send({ type: 'POLICY', version: 'v', rules: '{}' })
  await read(stream)
  clock.advance(10_000)
  await gone()
  t.match(told.at(-1), ['gone', 'the server pushes policies too often', true])
  t.equal((await wire.next('POLICY_ACK')).accepted, 0)
})

t.test('counts a token for a lane that it did not ask for, and says so in the audit log', async (t) => {
  const { wire, stream, metrics, audited } = await connected(t)
  wire.send({ type: 'LANE_OFFER', lane: 1, token: Buffer.alloc(16) })
  await read(stream)
  t.strictSame(
    metrics.counted.filter(([verb]) => verb === 'violation'),
    [['violation', 'unexpected']],
  )
  t.match(audited.at(-1), { event: 'violation', verdict: 'refused', reason: 'unexpected' })
})

t.test('tells its owner of a good list, and of a bad one the counts', async (t) => {
  const { wire, stream, told, metrics, log } = await connected(t)
  const good = { id: 'a', address: '', serverName: 'A.example', workers: 0 }
  wire.send({ type: 'SERVERS', servers: [good] })
  wire.send({ type: 'SERVERS', servers: [good, { ...good, id: 'b', serverName: '10.0.0.1' }] })
  wire.send({ type: 'SERVERS', servers: [] })
  await read(stream)
  t.strictSame(
    told.filter(([event]) => event === 'listed'),
    [['listed', true, [{ ...good, serverName: 'a.example', workers: 1 }]]],
  )
  t.equal(metrics.counted.filter(([verb]) => verb === 'listRefused').length, 2)
  const bad = log.lines.filter(({ message }) => message === 'list of replicas cannot be used, the one before stays')
  t.match(bad[0]?.fields, { problems: ['1: expected a DNS name as serverName'] })
})

t.test('ends when the server lists replicas without end', async (t) => {
  const { wire, stream, clock, gone, told } = await connected(t)
  const servers = [{ id: 'a', address: '', serverName: 'a.example', workers: 1 }]
  for (let count = 0; count <= LISTS; count++) wire.send({ type: 'SERVERS', servers })
  await read(stream)
  clock.advance(10_000)
  await gone()
  t.equal(told.filter(([event]) => event === 'listed').length, LISTS)
  t.match(told.at(-1), ['gone', 'the server lists replicas too often', true])
})

t.test('asks for the name that it was given, and holds the certificate to it', async (t) => {
  const { asked } = await setup(t, { serverName: 'localhost' })
  t.equal((await asked()).headers[':authority'], `localhost:${(await asked()).stream.session?.socket.localPort}`)
  const other = await setup(t, { serverName: 'hub-1.example' })
  await other.gone()
  t.match(other.told, [['gone', /altnames/, false]])
})

t.test('a dial whose name resolves late gets nothing that a policy has opened meanwhile', async (t) => {
  const found = Promise.withResolvers<LookupAddress[]>()
  const { wire, stream } = await connected(t, taken, {}, () => found.promise)
  const allowing = (...cidr: string[]): Packet => {
    const rules = JSON.stringify({ rules: [{ allow: { cidr } }] })
    return { type: 'POLICY', version: versionOf(rules), rules }
  }
  wire.send(allowing('10.0.0.0/8'))
  wire.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'web:80', random: 1 })
  wire.send(allowing('10.0.0.0/8', '127.0.0.0/8'))
  await read(stream)
  found.resolve([{ address: '127.0.0.1', family: 4 }])
  const error = /^dial tcp 127\.0\.0\.1:80: not allowed by the policy of the server: no rule allows it$/
  t.match(await wire.next('DIAL_RSP'), { random: 1, error })
})

t.test('ends when its server is no longer good, and says why', async (t) => {
  const { held, audited, told, gone, link, clock } = await connected(t)
  t.equal(held.length, 1)
  t.ok(held[0]?.socket.authorized, 'TLS has verified it')
  held[0]?.lost('the certificate of the server is over')
  clock.advance(500)
  await gone()
  t.strictSame(told.at(-1), ['gone', 'the certificate of the server is over', true, true])
  t.match(audited.at(-1), { event: 'server-end', reason: 'the certificate of the server is over' })
  t.equal(link.session()?.connectionCount(), 0)
})

t.test('goes on without a lane whose certificate is no longer good', async (t) => {
  const { wire, listener, held, told, link, metrics } = await connected(t, taken, { alpn: ['h2'] }) // all that the server knows
  listener.removeAllListeners('secureConnection') // to whom a lane would be HTTP/2
  const lane = once(listener, 'secureConnection')
  wire.send({ type: 'DIAL_REQ', protocol: 'tcp', address: await bulkTarget(t), random: 1 })
  const { connectId } = await wire.next('DIAL_RSP')
  wire.send({ type: 'WINDOW_UPDATE', connectId, credit: 2 ** 20 })
  await wire.next('LANES_WANTED')
  wire.send({ type: 'LANE_OFFER', lane: 1, token: Buffer.alloc(16) })
  const [end] = (await within(lane, 'a lane')) as [TLSSocket]
  t.teardown(() => end.on('error', () => undefined).destroy())
  await eventually(
    'it is watched',
    () => held.length,
    (count) => count === 2,
  )
  held[1]?.lost('the certificate of the server is over')
  t.ok(held[1]?.socket.destroyed)
  t.strictSame(told.slice(1), [], 'the stream has a certificate of its own')
  t.equal(link.session()?.connectionCount(), 1)
  await eventually('it is counted', () => metrics.counted.some(([verb]) => verb === 'laneFailed'), Boolean)
})
