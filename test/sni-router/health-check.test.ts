import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, Socket } from 'node:net'
import t from 'tap'
import { systemClock } from '../../src/platform/clock.ts'
import { checkOnce } from '../../src/sni-router/health-check.ts'
import { manualClock } from '../platform/manual-clock.ts'

/** A check over a socket that is never connected: the test says what becomes of it. */
function setup() {
  const clock = manualClock()
  const socket = new Socket()
  const told: string[] = []
  const check = checkOnce({ ip: '192.0.2.1', port: 9 }, 2_000, { clock, connect: () => socket }, (result) =>
    told.push(result),
  )
  return { clock, socket, told, check }
}

t.test('an accepted connection is well and is closed at once; what comes after it is nothing new', async (t) => {
  const { clock, socket, told } = setup()
  socket.emit('connect')
  t.ok(socket.destroyed)
  socket.emit('error', new Error('late'))
  t.equal(clock.waiting(), 0)
  t.strictSame(told, ['ok'])
})

t.test('an error and silence are failures, silence after its time and not before', async (t) => {
  const refused = setup()
  refused.socket.emit('error', new Error('refused'))
  t.strictSame([refused.told, refused.clock.waiting()], [['failed'], 0])
  const silent = setup()
  silent.clock.advance(1_999)
  t.strictSame(silent.told, [])
  silent.clock.advance(1)
  t.strictSame(silent.told, ['failed'])
  t.ok(silent.socket.destroyed)
})

t.test('a check that is given up closes its connection and tells nothing', async (t) => {
  const { clock, socket, told, check } = setup()
  check[Symbol.dispose]()
  t.ok(socket.destroyed)
  socket.emit('connect')
  clock.advance(60_000)
  t.strictSame(told, [])
})

/** What the check makes of who listens on that port. */
const ask = (port: number, clock = systemClock): Promise<string> =>
  new Promise((resolve) => {
    const target = { ip: '127.0.0.1', port: 1, readiness: { port, path: '/readyz?full' } }
    checkOnce(target, 5_000, { clock, connect: ({ ip, port }) => connect(port, ip) }, resolve)
  })

t.test('where a backend says whether it is ready, it is asked over HTTP', async (t) => {
  let status = 200
  const asked: unknown[] = []
  const server = createServer(({ url, headers }, response) => {
    asked.push([url, headers.host])
    response.writeHead(status).end('not read')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const [given, result] of [
    [200, 'ok'],
    [204, 'ok'],
    [302, 'failed'],
    [503, 'failed'],
  ] as const) {
    status = given
    t.equal(await ask(port), result, `${given}`)
  }
  t.strictSame(asked[0], ['/readyz?full', `127.0.0.1:${port}`])
})

t.test('what is no HTTP, too long, closed or silent is not ready', async (t) => {
  for (const [what, answer] of [
    ['no HTTP', 'SSH-2.0\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(10_000)}\r\n\r\n`],
    ['the end', undefined],
  ] as const) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined)
      if (answer === undefined) socket.end()
      else socket.write(answer)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.equal(await ask((server.address() as AddressInfo).port), 'failed', what)
    server.close()
  }
  const clock = manualClock()
  const silent = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    setImmediate(() => clock.advance(5_000))
  })
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.equal(await ask((silent.address() as AddressInfo).port, clock), 'failed', 'silence')
  silent.close()
})
