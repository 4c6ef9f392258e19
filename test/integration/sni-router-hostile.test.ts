/** Clients of the front door that mean no good, or are unlucky: each costs little, for a while, and nobody else anything. */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { V2_SIGNATURE } from '../../src/platform/proxy-header.ts'
import { alpn, extension, helloRecords, nodeHello, serverName } from '../sni-router/hellos.ts'
import { readBytes } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { connectRaw, nextBackend, startFrontDoor } from './front-door.ts'
import { closedPort, dialsUnderWay, echo, idle, listenTarget, silent, stuckTarget } from './target.ts'

const refused = (why: string): string => `culvert_router_refused_clients_total{why="${why}"}`
const ends = (how: string): string => `culvert_router_connection_ends_total{route="a",how="${how}"}`
const hello = await nodeHello({ servername: 'a.example' })
const routeTo = (...backends: string[]) => [{ name: 'a', hosts: ['a.example'], backends }]
/** Something that was written to it waits, and goes on waiting: it is read no more. */
const untilStuck = (socket: Socket): Promise<unknown> => {
  let last = 0
  let sinceMs = performance.now()
  return eventually(
    'it is read no more',
    () => {
      if (socket.writableLength !== last || last === 0) sinceMs = performance.now()
      last = socket.writableLength
      return performance.now() - sinceMs
    },
    (stillMs) => stillMs > 200,
  )
}
/** Who is reset as soon as it is accepted may hear of that before it hears that it is connected. */
const turnedAway = (port: number): Promise<unknown> => closeOf(connect(port, '127.0.0.1').on('error', () => undefined))
const isCut = (socket: Socket): Promise<boolean> =>
  eventually(
    'it is cut',
    () => socket.destroyed,
    (isDestroyed) => isDestroyed,
  )
const closeOf = (socket: Socket): Promise<unknown> => {
  socket.resume()
  return within(new Promise((resolve) => socket.once('close', resolve).once('end', resolve)), 'the end of a connection')
}

t.test('a hello that comes a byte at a time is cut at the deadline, and others are served meanwhile', async (t) => {
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(t, { routes: routeTo(target.address), limits: { helloTimeout: '3s' } })
  const startMs = performance.now()
  const slow = await connectRaw(t, router.port)
  const mute = await connectRaw(t, router.port)
  let at = 0
  const timer = setInterval(() => slow.write(hello.subarray(at, ++at)), 50)
  t.teardown(() => clearInterval(timer))
  const good = await connectRaw(t, router.port)
  const back = readBytes(good, hello.length)
  good.write(hello)
  t.ok((await back).equals(hello))
  await Promise.all([closeOf(slow), closeOf(mute)])
  t.ok(performance.now() - startMs > 2_900, 'not before')
  await figureBecomes(router, refused('slow'), 2)
  t.equal(await figure(router, 'culvert_router_clients'), 1)
})

t.test('records of one byte, and a hello that never ends, are given up at their limits', async (t) => {
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(t, { routes: routeTo(target.address) })
  const endless = helloRecords({ extensions: [serverName('a.example'), extension(21, Buffer.alloc(16_000))] }, 1)
  for (let count = 0; count < 20; count++) {
    const socket = await connectRaw(t, router.port)
    const closed = closeOf(socket)
    socket.write(endless)
    await closed
  }
  await figureBecomes(router, refused('too_large'), 20)
})

t.test('of too many clients that say nothing those that have waited longest are cut', async (t) => {
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(t, {
    routes: routeTo(target.address),
    limits: { pendingHellos: 3, pendingHellosPerSource: 3 },
  })
  const mute: Socket[] = []
  for (let count = 0; count < 3; count++) mute.push(await connectRaw(t, router.port))
  const firstEnds = closeOf(mute[0]!)
  const good = await connectRaw(t, router.port)
  await firstEnds
  const back = readBytes(good, hello.length)
  good.write(hello)
  await back
  await figureBecomes(router, refused('crowded'), 1)
  t.match(await router.logged('a limit is reached: clients are refused'), { what: 'pendingHellos', limit: 3 })
  t.notOk(mute[1]!.destroyed || mute[2]!.destroyed)
})

t.test('a source has its share of clients and of undecided ones, and takes no room from others', async (t) => {
  const target = await listenTarget(t, echo)
  const limits = { connections: 9, connectionsPerSource: 3, pendingHellos: 4, pendingHellosPerSource: 2 }
  const router = await startFrontDoor(
    t,
    { routes: routeTo(target.address), limits },
    { proxyProtocolFrom: ['127.0.0.0/8'] },
  )
  const from = async (ip: string, ...parts: readonly Buffer[]): Promise<Socket> => {
    const socket = await connectRaw(t, router.port)
    socket.write(Buffer.concat([Buffer.from(`PROXY TCP6 ${ip} 2001:db8::1 5 443\r\n`), ...parts]))
    return socket
  }
  const honest = await from('2001:db8:1::1', hello.subarray(0, 9))
  const mute: Socket[] = []
  for (let count = 1; count <= 4; count++) {
    mute.push(await from(`2001:db8:2::${count}`, hello.subarray(0, 9)))
    await figureBecomes(router, refused('crowded'), Math.max(0, count - limits.pendingHellosPerSource))
  }
  await isCut(mute[0]!)
  await isCut(mute[1]!)
  for (const ip of ['2001:db8:3::1', '2001:db8:6::1']) await from(ip, hello.subarray(0, 9))
  await figureBecomes(router, refused('crowded'), 3) // of too many in all it is the one of who has most
  await isCut(mute[2]!)
  const back = readBytes(honest, hello.length)
  honest.write(hello.subarray(9))
  t.ok((await back).equals(hello), 'who waited longest of all')

  const joined: Socket[] = []
  for (let count = 1; count <= 3; count++) {
    joined.push(await from(`2001:db8:4::${count}`, hello))
    t.ok((await readBytes(joined.at(-1)!, hello.length)).equals(hello))
  }
  await closeOf(await from('2001:db8:4::4', hello))
  await figureBecomes(router, refused('source_full'), 1)
  t.ok((await readBytes(await from('2001:db8:5::1', hello), hello.length)).equals(hello), 'another source')
  joined[0]?.destroy()
  await figureBecomes(router, 'culvert_router_open_connections{route="a"}', 4)
  t.ok((await readBytes(await from('2001:db8:4::4', hello), hello.length)).equals(hello), 'room is given back')
})

t.test('a source without a PROXY header has its share as well', async (t) => {
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(t, { routes: routeTo(target.address), limits: { connections: 4 } })
  const first = await connectRaw(t, router.port)
  await figureBecomes(router, 'culvert_router_clients', 1)
  await turnedAway(router.port)
  await figureBecomes(router, refused('source_full'), 1)
  const back = readBytes(first, hello.length)
  first.write(hello)
  t.ok((await back).equals(hello))
})

t.test('the limit of a route and that of all are kept, and room is given back', async (t) => {
  const target = await listenTarget(t, echo)
  const other = [{ name: 'b', hosts: ['b.example'], backends: [target.address] }]
  const [limited] = routeTo(target.address)
  const router = await startFrontDoor(t, {
    routes: [{ ...limited, maxConnections: 1 }, ...other],
    limits: { connections: 2, connectionsPerSource: 2 },
  })
  const join = async (bytes: Buffer): Promise<Socket> => {
    const socket = await connectRaw(t, router.port)
    const back = readBytes(socket, bytes.length)
    socket.write(bytes)
    await back
    return socket
  }
  const first = await join(hello)
  const second = await connectRaw(t, router.port)
  const alert = readBytes(second, 7)
  second.write(hello)
  t.equal((await alert).toString('hex'), '15030100020250', 'internal_error')
  second.end()
  await closeOf(second)
  await figureBecomes(router, refused('route_full'), 1)
  await figureBecomes(router, 'culvert_router_clients', 1)
  await join(await nodeHello({ servername: 'b.example' }))
  await turnedAway(router.port)
  await figureBecomes(router, refused('full'), 1)
  t.match(await router.logged('a limit is reached: clients are refused', 1), { what: 'route a', limit: 1 })
  t.match(await router.logged('a limit is reached: clients are refused', 2), { what: 'connections', limit: 2 })
  first.destroy()
  await figureBecomes(router, 'culvert_router_clients', 1)
  await join(hello)
})

/** A client whose backend is dialled without end, as far as the router's limits go. */
async function startDial(t: Test) {
  const stuck = await stuckTarget(t)
  const limits = { dialTimeout: '5m', dialDeadline: '5m' }
  const router = await startFrontDoor(t, {
    routes: routeTo(stuck.address),
    limits,
    healthCheck: { interval: '1h', timeout: '1ms' },
  })
  const client = await connectRaw(t, router.port)
  client.write(hello)
  return { stuck, router, client }
}

for (const how of ['end', 'resetAndDestroy'] as const) {
  t.test(`the dial of a client that leaves by ${how} is given up at once`, async (t) => {
    const { stuck, router, client } = await startDial(t)
    await eventually(
      'it is dialled',
      () => dialsUnderWay(stuck.port).length,
      (count) => count === 1,
    )
    client[how]()
    await eventually(
      'nobody dials any more',
      () => dialsUnderWay(stuck.port).length,
      (count) => count === 0,
    )
    await figureBecomes(router, refused('left'), 1)
    t.equal(await figure(router, 'culvert_router_open_connections{route="a"}'), 0)
  })
}

t.test('what a client sends while its backend is dialled is bounded, and arrives', async (t) => {
  const { stuck, client } = await startDial(t)
  const early = Buffer.alloc(32 * 2 ** 20, 'early')
  client.write(early)
  await eventually(
    'it is dialled',
    () => dialsUnderWay(stuck.port).length,
    (count) => count === 1,
  )
  await untilStuck(client)
  const back = readBytes(client, hello.length + early.length)
  stuck.release()
  t.ok((await back).subarray(hello.length).equals(early))
})

t.test(
  'a client that vanishes while its backend is dialled, and it is read no more, takes its dial along',
  async (t) => {
    const { stuck, client } = await startDial(t)
    client.write(Buffer.alloc(32 * 2 ** 20))
    await eventually(
      'it is dialled',
      () => dialsUnderWay(stuck.port).length,
      (count) => count === 1,
    )
    await untilStuck(client)
    t.equal(dialsUnderWay(stuck.port).length, 1)
    client.resetAndDestroy()
    await eventually(
      'nobody dials any more',
      () => dialsUnderWay(stuck.port).length,
      (count) => count === 0,
    )
  },
)

t.test('a route has so many dials under way and no more, and gives the place of each back', async (t) => {
  const [stuck, target] = [await stuckTarget(t), await listenTarget(t, echo)]
  const router = await startFrontDoor(t, {
    routes: [...routeTo(stuck.address), { name: 'b', hosts: ['b.example'], backends: [target.address] }],
    limits: { dialTimeout: '5m', dialDeadline: '5m', pendingDialsPerRoute: 1 },
    healthCheck: { interval: '1h', timeout: '1ms' },
  })
  const send = async (bytes: Buffer): Promise<Socket> => {
    const socket = await connectRaw(t, router.port)
    socket.write(bytes)
    return socket
  }
  const dials = (wanted: number): Promise<unknown> =>
    eventually(
      `${wanted} under way`,
      () => dialsUnderWay(stuck.port).length,
      (count) => count === wanted,
    )
  const first = await send(hello)
  await dials(1)
  t.equal((await readBytes(await send(hello), 7)).toString('hex'), '15030100020250', 'internal_error')
  await figureBecomes(router, refused('dials_full'), 1)
  t.match(await router.logged('a limit is reached: clients are refused'), {
    what: 'pendingDialsPerRoute of a',
    limit: 1,
  })
  const other = await nodeHello({ servername: 'b.example' })
  t.ok((await readBytes(await send(other), other.length)).equals(other), 'another route')
  first.destroy()
  await dials(0)
  const second = await send(hello)
  await dials(1)
  stuck.release()
  t.ok((await readBytes(second, hello.length)).equals(hello))
  t.ok((await readBytes(await send(hello), hello.length)).equals(hello), 'which is joined, and waits no more')
})

t.test('who is told that there is no backend takes no room of its route while it reads that', async (t) => {
  const [route] = routeTo(await closedPort())
  const router = await startFrontDoor(t, { routes: [{ ...route, maxConnections: 1 }] })
  for (let count = 1; count <= 2; count++) {
    const client = await connectRaw(t, router.port)
    client.write(hello)
    t.equal((await readBytes(client, 7)).toString('hex'), '15030100020250', 'internal_error')
    await figureBecomes(router, refused('no_backend'), count)
  }
  t.equal(await figure(router, 'culvert_router_open_connections{route="a"}'), 0)
})

t.test('a client that vanishes while nothing is read from it is noticed, and so is a backend', async (t) => {
  const target = await listenTarget(t, idle)
  const limits = { idleTimeout: '1h', halfClosedTimeout: '1s' } // the latter has it look every 250 ms
  const router = await startFrontDoor(t, { routes: routeTo(target.address), limits })
  for (const who of ['client', 'backend'] as const) {
    const reached = nextBackend(target)
    const client = await connectRaw(t, router.port)
    client.pause()
    client.write(hello)
    const backend = await reached()
    backend.pause()
    const [sender, other] = who === 'client' ? [client, backend] : [backend, client]
    sender.write(Buffer.alloc(64 * 2 ** 20)) // until the router reads it no more
    await untilStuck(sender)
    const before = await figure(router, ends('reset'))
    sender.resetAndDestroy()
    await figureBecomes(router, ends('reset'), before + 1)
    other.destroy()
  }
})

t.test(
  'a connection with one side ended, on which nothing moves, is broken off at its deadline and not before',
  async (t) => {
    const target = await listenTarget(t, silent)
    const router = await startFrontDoor(t, { routes: routeTo(target.address), limits: { halfClosedTimeout: '3s' } })
    const reached = nextBackend(target)
    const client = await connectRaw(t, router.port)
    client.write(hello)
    const backend = await reached()
    const open = await connectRaw(t, router.port)
    open.write(hello)
    const endedMs = performance.now()
    client.end()
    await event(backend, 'end')
    for (let count = 0; count < 8; count++) {
      const back = readBytes(client, 1)
      backend.write('x')
      await back
      await new Promise((resolve) => setTimeout(resolve, 500)) // no wait for a state: it moves now and then
    }
    await closeOf(client)
    t.ok(performance.now() - endedMs > 6_000, 'what moves counts')
    await figureBecomes(router, ends('half_closed'), 1)
    t.equal(
      await figure(router, 'culvert_router_open_connections{route="a"}'),
      1,
      'who is open on both sides may be silent',
    )
  },
)

t.test('silence on both sides ends a connection where that is asked for', async (t) => {
  const target = await listenTarget(t, silent)
  const router = await startFrontDoor(t, { routes: routeTo(target.address), limits: { idleTimeout: '500ms' } })
  const client = await connectRaw(t, router.port)
  client.write(hello)
  await closeOf(client)
  await figureBecomes(router, ends('idle'), 1)
})

/** Of TCP over IPv4 from that address, from its start to it: version 2. */
const v2From = (...address: number[]): Buffer =>
  Buffer.concat([V2_SIGNATURE, Buffer.from([0x21, 0x11, 0, 12, ...address])])
const fromDoor = [192, 0, 2, 1, 192, 0, 2, 2, 0, 5, 443 >> 8, 443 & 0xff]
for (const [version, header, ours, again] of [
  ['v1', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n'), Buffer.from('PROXY TCP4 127.0.0.1 '), 'http'],
  ['v2', v2From(...fromDoor), v2From(127, 0, 0, 1), 'not_tls'],
] as const) {
  t.test(`a PROXY header, ${version}, is taken from its ranges only, and exactly one`, async (t) => {
    const target = await listenTarget(t, echo)
    const config = { routes: [{ ...routeTo(target.address)[0], proxyProtocol: version }] }
    const [from, strict] = await Promise.all([
      startFrontDoor(t, config, { proxyProtocolFrom: ['127.0.0.0/8'] }),
      startFrontDoor(t, config, { proxyProtocolFrom: ['10.0.0.0/8'] }),
    ])
    const ask = async (port: number, bytes: Buffer): Promise<Socket> => {
      const socket = await connectRaw(t, port)
      socket.write(bytes)
      return socket
    }
    const good = await ask(from.port, Buffer.concat([header, hello]))
    t.ok((await readBytes(good, header.length + hello.length)).equals(Buffer.concat([header, hello])), 'and passed on')
    for (const [router, bytes, why] of [
      [from, hello, 'no_proxy_header'],
      [from, Buffer.concat([header, header, hello]), again],
      [strict, Buffer.concat([header, hello]), again],
    ] as const) {
      await closeOf(await ask(router.port, bytes))
      await figureBecomes(router, refused(why), 1)
    }
    const plain = await ask(strict.port, hello)
    t.ok((await readBytes(plain, ours.length)).subarray(0, ours.length).equals(ours))
  })
}

t.test('garbage of every kind, many at once, is refused and leaves nothing', async (t) => {
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(t, { routes: routeTo(target.address) })
  const kinds = [
    'GET / HTTP/1.1\r\n\r\n',
    '\x80\x2e\x01\x03\x01',
    '\x16\x03\x01\x40\x01',
    '\xff'.repeat(500),
    '\x16\x03\x01\0\x05\x02\0\0\x01\0',
  ]
  const bad = helloRecords({ extensions: [alpn('')] })
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const socket = await connectRaw(t, router.port)
      const closed = closeOf(socket)
      socket.write(index % 6 === 5 ? bad : Buffer.from(kinds[index % 6]!, 'latin1'))
      await closed
      socket.destroy()
    }),
  )
  await figureBecomes(router, 'culvert_router_clients', 0)
})
