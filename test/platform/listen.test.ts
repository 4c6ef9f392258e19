import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { listen } from '../../src/platform/listen.ts'

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
