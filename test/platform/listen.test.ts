import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { listen, stopListening } from '../../src/platform/listen.ts'

t.test('gives the port that was bound', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  t.equal(
    await listen(server, { flag: '--health-port', host: '127.0.0.1', port: 0 }),
    (server.address() as { port: number }).port,
  )
})

t.test('listens on all addresses when none is named', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  await listen(server, { flag: '--health-port', host: '', port: 0 })
  t.match((server.address() as { address: string }).address, /^(::|0\.0\.0\.0)$/)
})

t.test('says by its flag which port is taken, and which address is not there', async (t) => {
  const [server, second] = [createServer(), createServer()]
  t.teardown(() => server.close())
  const port = await listen(server, { flag: '--agent-port', host: '127.0.0.1', port: 0 })
  await t.rejects(listen(second, { flag: '--health-port', host: '127.0.0.1', port }), {
    code: 'bad-option',
    message: `--health-port: could not listen on 127.0.0.1, port ${port}: something else listens there`,
    cause: { code: 'EADDRINUSE' },
  })
  await t.rejects(listen(second, { flag: '--health-port', host: '192.0.2.1', port: 0 }), {
    message: '--health-port: could not listen on 192.0.2.1, port 0: this machine has no such address',
  })
  const closed = once(server, 'close')
  server.close()
  await closed
})

t.test('whom the kernel has accepted is taken before the port is closed', async (t) => {
  const taken: Socket[] = []
  const server = createServer((socket) => taken.push(socket.resume()))
  const port = await listen(server, { flag: '--server-port', host: '127.0.0.1', port: 0 })
  const clients = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'))
  await new Promise((resolve) => process.nextTick(resolve)) // they have called the kernel; no turn has come yet
  const closed = once(server, 'close')
  await stopListening(server)
  t.notOk(server.listening)
  t.equal(taken.length, clients.length)
  for (const client of clients) client.end()
  await closed
  t.equal(server.listenerCount('connection'), 1)
})

t.test('those who come without end do not keep it open', async (t) => {
  const server = createServer((socket) => socket.on('error', () => undefined).destroy())
  const port = await listen(server, { flag: '--server-port', host: '127.0.0.1', port: 0 })
  server.on('connection', () => connect(port, '127.0.0.1').on('error', () => undefined))
  connect(port, '127.0.0.1').on('error', () => undefined)
  await stopListening(server)
  t.notOk(server.listening)
})

t.test('what does not listen is closed at once', async (t) => {
  const server = createServer()
  let turns = 0
  setImmediate(() => turns++)
  await stopListening(server)
  t.equal(turns, 0)
})
