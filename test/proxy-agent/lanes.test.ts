/** The lanes of a link, to servers made by hand: what a good one, a slow one and a hostile one bring about. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { ASK_TIMEOUT_MS } from '../../src/proxy-agent/core/lane-slots.ts'
import { createLanes } from '../../src/proxy-agent/lanes.ts'
import { HELLO_BYTES, LANE_ALPN } from '../../src/tunnel/lane.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { oneSession } from '../tunnel/one-session.ts'
import { recordedMetrics } from './recorded-metrics.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const leaf = await issueLeaf(authority, { identity: { role: 'server', id: 'hub-0' }, ipAddresses: ['127.0.0.1'] })
const TOKEN = Buffer.alloc(16, 7)
const WELCOME = Buffer.of(1, 0)

/** @param answer what the server does with a hello */
async function setup(t: Test, answer: (socket: TLSSocket, hello: Buffer) => void, count = 1) {
  const server = createServer({ cert: leaf.certificatePem, key: leaf.keyPem, ALPNProtocols: [LANE_ALPN] }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).once('data', (hello: Buffer) => answer(socket, hello))
  })
  const sockets: TLSSocket[] = []
  const chunks: Buffer[] = []
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const clock = manualClock()
  const metrics = recordedMetrics()
  const misuses: string[] = []
  const made = oneSession({ role: 'agent' })
  const lanes = createLanes({
    clock,
    log: recordedLog(),
    metrics,
    random: () => 0.5,
    session: made.session,
    count: () => count,
    misused: (why) => misuses.push(why),
    connect() {
      const { port } = server.address() as AddressInfo
      const socket = connect({ port, host: '127.0.0.1', ca: authority.certificatePem, ALPNProtocols: [LANE_ALPN] })
      socket.allowHalfOpen = true
      return socket
    },
  })
  t.teardown(() => {
    lanes[Symbol.dispose]()
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const counted = (wanted: number): Promise<unknown> =>
    eventually(
      `${wanted} things are counted`,
      () => metrics.counted.length,
      (found) => found >= wanted,
    )
  return { ...made, lanes, clock, metrics, misuses, sockets, chunks, counted }
}

const asked = { type: 'LANES_WANTED', count: 1 }

t.test('asks once, shows the token, and greets when it is welcome', async (t) => {
  const hellos: string[] = []
  const { lanes, carrier, chunks, metrics, counted } = await setup(t, (socket, hello) => {
    hellos.push(hello.toString('hex'))
    socket.write(WELCOME.subarray(0, 1))
    setImmediate(() => socket.write(WELCOME.subarray(1)))
  })
  t.notOk(lanes.offered(1, TOKEN), 'nobody asked')
  lanes.wanted()
  lanes.wanted()
  t.strictSame(carrier.frames(), [asked])
  t.ok(lanes.offered(2, TOKEN))
  await counted(1)
  t.strictSame(hellos, [`01${TOKEN.toString('hex')}`])
  t.equal(hellos[0]?.length, HELLO_BYTES * 2)
  await eventually(
    'a frame comes',
    () => Buffer.concat(chunks)[HELLO_BYTES],
    (type) => type === 255,
  )
  lanes.wanted()
  t.strictSame(carrier.frames(), [], 'there is one')
  t.strictSame(metrics.counted, [['laneOpened']])
})

t.test('asks again when no token came, and not before', async (t) => {
  const { lanes, carrier, clock } = await setup(t, () => {})
  lanes.wanted()
  clock.advance(ASK_TIMEOUT_MS - 1)
  lanes.wanted()
  t.strictSame(carrier.frames(), [asked])
  clock.advance(1)
  lanes.wanted()
  t.strictSame(carrier.frames(), [asked])
})

t.test('tokens that come late, and all that were asked for at once, are what was asked for', async (t) => {
  const { lanes, clock } = await setup(t, () => {}, 2)
  lanes.wanted()
  clock.advance(ASK_TIMEOUT_MS)
  lanes.wanted()
  t.strictSame(
    [1, 2, 3, 4, 5].map((lane) => lanes.offered(lane, TOKEN)),
    [true, true, true, true, false],
  )
  clock.advance(ASK_TIMEOUT_MS)
  t.notOk(lanes.offered(6, TOKEN))
})

t.test('tries again later when it is refused, does not get an answer, or gets one that makes no sense', async (t) => {
  for (const [answer, why] of [
    [(socket: TLSSocket) => socket.end(Buffer.of(1, 1)), 'refused'],
    [(socket: TLSSocket) => socket.end(Buffer.of(1, 200)), 'refused'],
    [(socket: TLSSocket) => socket.end(Buffer.of(9, 0)), 'broken'],
    [(socket: TLSSocket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 'broken'],
    [(socket: TLSSocket) => socket.destroy(), 'connect'],
  ] as const) {
    const { lanes, carrier, clock, metrics, misuses, counted } = await setup(t, answer)
    lanes.wanted()
    lanes.offered(1, TOKEN)
    await counted(1)
    t.strictSame(metrics.counted, [['laneFailed', why]])
    t.strictSame(misuses, why === 'broken' ? ['broken'] : [])
    t.equal(clock.waiting(), 1)
    lanes.wanted()
    t.strictSame(carrier.frames(), [asked], 'not at once')
    t.equal(clock.waiting(), 1)
    clock.advance(500)
    t.strictSame(carrier.frames(), [asked], 'though nobody has said again that one is wanted')
    t.equal(clock.waiting(), 0)
  }
  const { lanes, clock, metrics, misuses, counted, sockets } = await setup(t, () => {})
  lanes.wanted()
  lanes.offered(1, TOKEN)
  await eventually(
    'the server has the hello',
    () => sockets.length,
    (count) => count === 1,
  )
  clock.advance(10_000)
  await counted(1)
  t.strictSame(metrics.counted, [['laneFailed', 'slow']])
  t.strictSame(misuses, ['slow'])
  t.equal(clock.waiting(), 0, 'nobody has wanted one for too long')
})

t.test('ends a lane whose bytes make no sense', async (t) => {
  const { lanes, metrics, misuses, counted } = await setup(t, (socket) =>
    socket.write(Buffer.concat([WELCOME, Buffer.alloc(8, 1)])),
  )
  lanes.wanted()
  lanes.offered(1, TOKEN)
  await counted(2)
  t.strictSame(metrics.counted, [['laneOpened'], ['laneEnded', 'broken']])
  t.strictSame(misuses, ['broken'])
})

t.test('ends all in order when its link does, and gives those up that do not end', async (t) => {
  const { lanes, metrics, counted, sockets, clock } = await setup(t, (socket) => socket.write(WELCOME), 2)
  lanes.wanted()
  lanes.offered(1, TOKEN)
  lanes.offered(2, TOKEN)
  await counted(2)
  const [first, second] = sockets
  first!.on('end', () => first!.end()).resume()
  second!.allowHalfOpen = true
  second!.resume()
  let finished = 0
  lanes.finish(() => finished++)
  await counted(3)
  t.strictSame([metrics.counted.at(-1), finished], [['laneEnded', 'finished'], 0])
  clock.advance(5_000)
  await counted(4)
  t.strictSame([metrics.counted.at(-1), finished], [['laneEnded', 'lost'], 1])
  lanes.wanted()
  lanes.offered(3, TOKEN)
  t.equal(sockets.length, 2, 'it opens no more')
})

t.test('opens a lane again by itself that broke, if it was wanted of late', async (t) => {
  for (const [sinceMs, again] of [
    [0, [asked]],
    [10_000, []],
  ] as const) {
    const { lanes, carrier, clock, metrics, counted, sockets } = await setup(t, (socket) => socket.write(WELCOME))
    lanes.wanted()
    lanes.offered(1, TOKEN)
    await counted(1)
    carrier.frames()
    clock.advance(sinceMs)
    sockets[0]!.write(Buffer.alloc(8, 1)) // no frame
    await counted(2)
    t.strictSame(metrics.counted.at(-1), ['laneEnded', 'broken'])
    clock.advance(500)
    t.strictSame(carrier.frames(), again, `${sinceMs} ms later`)
  }
})

t.test('does not try again what failed when its link has ended', async (t) => {
  for (const end of ['finish', 'dispose'] as const) {
    const { lanes, clock, counted } = await setup(t, (socket) => socket.end(Buffer.of(1, 1)))
    lanes.wanted()
    lanes.offered(1, TOKEN)
    await counted(1)
    t.equal(clock.waiting(), 1)
    if (end === 'finish') lanes.finish(() => undefined)
    else lanes[Symbol.dispose]()
    t.equal(clock.waiting(), 0, end)
  }
})

t.test('is finished at once where there is none', async (t) => {
  const { lanes } = await setup(t, () => {})
  let finished = 0
  lanes.finish(() => finished++)
  t.equal(finished, 1)
})
