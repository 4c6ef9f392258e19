/** Several backends behind a name: who gets a client, who is passed over, and that a wait for one ends. */
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { readProxyHeader } from '../../src/platform/proxy-header.ts'
import { nodeHello } from '../sni-router/hellos.ts'
import { readBytes } from './client.ts'
import { eventually } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { connectRaw, type FrontDoor, startFrontDoor } from './front-door.ts'
import { closedPort, dialsUnderWay, echo, listenTarget, stuckTarget } from './target.ts'

const hello = await nodeHello({ servername: 'a.example' })
const routeTo = (...backends: string[]) => [{ name: 'a', hosts: ['a.example'], backends }]
const dials = (why: string) => `culvert_router_failed_dials_total{route="a",why="${why}"}`
const state = (which: 'up' | 'down') => `culvert_router_backends{route="a",state="${which}"}`

async function join(t: Parameters<typeof connectRaw>[0], router: FrontDoor): Promise<Socket> {
  const socket = await connectRaw(t, router.port)
  const back = readBytes(socket, hello.length)
  socket.write(hello)
  await back
  return socket
}

t.test('a backend that refuses is passed over, for the client that comes first as well', async (t) => {
  const target = await listenTarget(t, echo)
  const healthCheck = { interval: '1h', fall: 100 } // nobody is taken for down
  const router = await startFrontDoor(t, {
    routes: routeTo(await closedPort(), target.address, await closedPort()),
    healthCheck,
  })
  for (let count = 0; count < 6; count++) await join(t, router)
  t.ok((await figure(router, dials('refused'))) > 0)
})

t.test('a backend that does not answer is passed over after its time', async (t) => {
  const [stuck, target] = [await stuckTarget(t), await listenTarget(t, echo)]
  const options = { healthCheck: { interval: '1h', timeout: '1ms', fall: 100 }, limits: { dialTimeout: '2s' } } // far longer than the other one takes
  const router = await startFrontDoor(t, { routes: routeTo(stuck.address, target.address), ...options })
  for (let count = 0; count < 3; count++) await join(t, router)
  t.equal(await figure(router, dials('timeout')), 3, 'counted, though the next one accepted')
  await eventually(
    'no dial is left',
    () => dialsUnderWay(stuck.port).length,
    (count) => count === 0,
  )
})

t.test('all tries together end at their deadline, with an alert', async (t) => {
  const all = await Promise.all([stuckTarget(t), stuckTarget(t), stuckTarget(t)])
  const options = {
    healthCheck: { interval: '1h', timeout: '1ms', fall: 100 },
    limits: { dialTimeout: '2s', dialDeadline: '3s' },
  }
  const router = await startFrontDoor(t, { routes: routeTo(...all.map(({ address }) => address)), ...options })
  const client = await connectRaw(t, router.port)
  const startMs = performance.now()
  client.write(hello)
  t.equal((await readBytes(client, 7)).toString('hex'), '15030100020250')
  const tookMs = performance.now() - startMs
  t.ok(tookMs > 2_990 && tookMs < 5_900, `${tookMs} ms, three tries would take 6,000`)
  t.equal(await figure(router, dials('timeout')), 1)
  t.equal(await figure(router, dials('deadline')), 1)
  for (const { port } of all)
    await eventually(
      'no dial is left',
      () => dialsUnderWay(port).length,
      (count) => count === 0,
    )
})

t.test('the one with the fewest connections is next', async (t) => {
  const targets = await Promise.all([listenTarget(t, echo), listenTarget(t, echo), listenTarget(t, echo)])
  const router = await startFrontDoor(t, {
    routes: routeTo(...targets.map(({ address }) => address)),
    healthCheck: { interval: '1h' },
  })
  const sizes = () => targets.map(({ sockets }) => [...sockets].filter((it) => it.bytesRead > 0).length)
  const clients: Socket[] = []
  for (let count = 0; count < 9; count++) clients.push(await join(t, router))
  t.strictSame(sizes(), [3, 3, 3])
  for (const socket of [...targets[1]!.sockets]) socket.end()
  await eventually(
    'three have ended',
    () => {
      for (const socket of clients) if (socket.resume().readableEnded) socket.end()
      return figure(router, 'culvert_router_open_connections{route="a"}')
    },
    (count) => count === 6,
  )
  for (let count = 0; count < 3; count++) await join(t, router)
  t.strictSame(sizes(), [3, 3, 3])
})

t.test('checks find out who is down and who is up again, and who is down is asked last', async (t) => {
  const [stuck, target] = [await stuckTarget(t), await listenTarget(t, echo)]
  const healthCheck = { interval: '100ms', timeout: '200ms', fall: 2 }
  const router = await startFrontDoor(t, {
    routes: routeTo(stuck.address, target.address),
    healthCheck,
    limits: { dialTimeout: '5m', dialDeadline: '10m' },
  })
  await figureBecomes(router, state('down'), 1)
  t.equal(await figure(router, state('up')), 1)
  for (let count = 0; count < 4; count++) await join(t, router)
  t.equal(target.sockets.size >= 4, true, 'nobody waited for the other one')
  stuck.release()
  await figureBecomes(router, state('up'), 2)
})

t.test('a backend by name is all the addresses of it, and one that has none is told', async (t) => {
  const target = await listenTarget(t, echo)
  const routes = [
    ...routeTo(`localhost:${target.port}`),
    { name: 'none', hosts: ['none.example'], backends: ['none.invalid:443'] },
  ]
  const router = await startFrontDoor(t, { routes })
  await join(t, router)
  const client = await connectRaw(t, router.port)
  client.write(await nodeHello({ servername: 'none.example' }))
  t.equal((await readBytes(client, 7)).toString('hex'), '15030100020250')
  await router.logged('backend has no address now: those it had stay in use')
  await figureBecomes(router, 'culvert_router_failed_dials_total{route="none",why="no_backend"}', 1)
})

t.test('a backend that asks for a PROXY header gets one, with the addresses of the client', async (t) => {
  const target = await listenTarget(t, echo)
  for (const version of ['v1', 'v2']) {
    const router = await startFrontDoor(t, { routes: [{ ...routeTo(target.address)[0], proxyProtocol: version }] })
    const client = await connectRaw(t, router.port)
    client.write(hello)
    const length =
      version === 'v1' ? `PROXY TCP4 127.0.0.1 127.0.0.1 ${client.localPort} ${router.port}\r\n`.length : 28
    const got = await readBytes(client, length + hello.length)
    t.strictSame(readProxyHeader(got), {
      kind: 'header',
      bytes: length,
      ends: {
        source: { ip: '127.0.0.1', port: client.localPort },
        destination: { ip: '127.0.0.1', port: router.port },
      },
    })
    t.ok(got.subarray(length).equals(hello))
  }
})

t.test('a backend that is not ready gets nobody new, though it accepts, and keeps whom it has', async (t) => {
  const draining = await listenTarget(t, echo, '127.0.0.2')
  let isReady = true
  const readyz = createServer(({ socket }, response) =>
    response.writeHead(socket.localAddress === '127.0.0.2' && !isReady ? 503 : 200).end(),
  )
  await new Promise<void>((resolve) => readyz.listen(0, '0.0.0.0', resolve))
  t.teardown(() => readyz.close())
  const readiness = { port: (readyz.address() as AddressInfo).port }
  const config = (...backends: string[]) => ({
    routes: [{ ...routeTo(...backends)[0], readiness }],
    healthCheck: { interval: '100ms' },
  })
  const router = await startFrontDoor(t, config(draining.address))
  const before = await join(t, router)
  const other = await listenTarget(t, echo)
  router.reload(config(draining.address, other.address))
  await figureBecomes(router, state('up'), 2)
  isReady = false
  await figureBecomes(router, state('down'), 1)
  const sent = () => [draining, other].map(({ sockets }) => [...sockets].filter((it) => it.bytesRead > 0).length)
  for (let count = 0; count < 4; count++) await join(t, router)
  t.strictSame(sent(), [1, 4])
  const back = readBytes(before, 5)
  before.write('still')
  t.equal(String(await back), 'still')
  isReady = true
  await figureBecomes(router, state('down'), 0)
  await join(t, router)
  t.strictSame(sent(), [2, 4], 'it has the fewest now')
})
