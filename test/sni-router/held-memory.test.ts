/** What the router keeps of a client: nothing of its ClientHello once a backend has it. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createBackends } from '../../src/sni-router/backends.ts'
import { systemConnect } from '../../src/sni-router/connecting.ts'
import { readConfig } from '../../src/sni-router/core/config.ts'
import { createRouterMetrics } from '../../src/sni-router/metrics.ts'
import { createNames } from '../../src/sni-router/names.ts'
import { createRouter } from '../../src/sni-router/router.ts'
import { event, eventually } from '../integration/deadline.ts'
import { listenTarget, silent } from '../integration/target.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { extension, helloRecords, serverName } from './hellos.ts'

const CLIENTS = 100

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** Bytes of buffers that somebody still holds. */
function heldBytes(): number {
  for (let count = 0; count < 2; count++) collect()
  return process.memoryUsage().arrayBuffers
}

t.test('a joined client keeps nothing of its hello', async (t) => {
  const target = await listenTarget(t, silent)
  const { config } = readConfig({
    listen: [{ port: 0 }],
    routes: [{ name: 'a', hosts: ['a.example'], backends: [target.address] }],
  })
  const clock = manualClock()
  const log = recordedLog()
  const state = { clients: () => 0, tallies: () => new Map(), backends: () => [], configAlarm: () => false }
  const { metrics } = createRouterMetrics(state)
  using backends = createBackends({ clock, log, watchName: createNames(clock), connect: systemConnect })
  using router = createRouter(config, { clock, log, metrics, backends, connect: systemConnect })
  const server = createServer({ allowHalfOpen: true }, (socket) => router.take(socket, 0))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => {
    server.close()
    router.cutAll('shutdown')
  })

  const hello = helloRecords({ extensions: [serverName('a.example'), extension(21, Buffer.alloc(14_000))] })
  const before = heldBytes()
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (let count = 0; count < CLIENTS; count++) {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined)
    sockets.push(socket)
    socket.write(hello)
  }
  await eventually(
    'the backend has every hello',
    () => [...target.sockets].filter(({ bytesRead }) => bytesRead === hello.length).length,
    (count) => count === CLIENTS,
  )
  const kept = await eventually(
    'what a client keeps is far less than its hello',
    () => (heldBytes() - before) / CLIENTS,
    (bytes) => bytes < hello.length / 8,
  )
  t.ok(kept < hello.length / 8, `${kept} bytes`)
})
