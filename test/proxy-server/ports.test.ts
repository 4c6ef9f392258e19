import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ServerOptions } from '../../src/proxy-server/options.ts'
import { type Listeners, listenOnFrontendSocket, listenOnPorts } from '../../src/proxy-server/ports.ts'
import { event } from '../integration/deadline.ts'

const HOST = '127.0.0.1'
const anyPort = {
  agentBindAddress: HOST,
  agentPort: 0,
  healthBindAddress: HOST,
  healthPort: 0,
  adminBindAddress: HOST,
  adminPort: 0,
  serverBindAddress: HOST,
  serverPort: 0,
  serverListenAny: false,
  udsName: '',
  deleteExistingUdsFile: true,
} as ServerOptions

function closedServer(t: Test): Server {
  const server = createServer((socket) => socket.end())
  t.teardown(() => server.close())
  return server
}

const listeners = (t: Test): Listeners => ({
  agentPort: closedServer(t),
  health: closedServer(t),
  admin: closedServer(t),
  frontend: closedServer(t),
})

const portOf = (server: Server): number => (server.address() as AddressInfo).port

/** A place with a short path: that of a socket has 107 bytes. */
function socketPath(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'frontend')
}

async function takenPort(t: Test): Promise<number> {
  const server = closedServer(t).listen(0, HOST)
  await event(server, 'listening')
  return portOf(server)
}

t.test('listens on four ports, and says what was bound', async (t) => {
  const servers = listeners(t)
  t.strictSame(await listenOnPorts(anyPort, servers), {
    agent: portOf(servers.agentPort),
    health: portOf(servers.health),
    admin: portOf(servers.admin),
    server: portOf(servers.frontend),
  })
})

t.test('leaves the frontend alone where that is a Unix socket', async (t) => {
  const servers = listeners(t)
  const ports = await listenOnPorts({ ...anyPort, udsName: '/somewhere' }, servers)
  t.strictSame(Object.keys(ports), ['agent', 'health', 'admin'])
  t.notOk(servers.frontend.listening)
})

const flags = { agentPort: 'agentPort', health: 'healthPort', admin: 'adminPort', frontend: 'serverPort' } as const
for (const [name, option] of Object.entries(flags) as [keyof Listeners, keyof ServerOptions][]) {
  const flag = `--${option.replace('Port', '-port')}`
  t.test(`names ${flag} when that port cannot be had, and listens on none behind it`, async (t) => {
    const servers = listeners(t)
    const options = { ...anyPort, [option]: await takenPort(t) }
    await t.rejects(listenOnPorts(options, servers), { code: 'bad-option', message: new RegExp(`^${flag}: .*listens`) })
    const names = Object.keys(flags) as (keyof Listeners)[]
    t.strictSame(
      names.map((each) => servers[each].listening),
      names.map((_, at) => at < names.indexOf(name)),
    )
  })
}

t.test('takes any port for the frontend when it may, whatever the flag for its port says', async (t) => {
  const serverPort = await takenPort(t)
  const ports = await listenOnPorts({ ...anyPort, serverListenAny: true, serverPort }, listeners(t))
  t.not(ports.server, serverPort)
})

t.test('listens on the Unix socket that was asked for, and takes it away again', async (t) => {
  const path = socketPath(t)
  const servers = listeners(t)
  const socket = await listenOnFrontendSocket({ ...anyPort, udsName: path }, servers)
  await event(connect(path).resume(), 'connect')
  socket?.[Symbol.dispose]()
  t.notOk(existsSync(path))
})

t.test('leaves what is there alone when it is told to', async (t) => {
  const path = socketPath(t)
  writeFileSync(path, '')
  const options = { ...anyPort, udsName: path, deleteExistingUdsFile: false }
  await t.rejects(listenOnFrontendSocket(options, listeners(t)), { code: 'bad-option', message: /it is there already/ })
})

t.test('listens on no Unix socket when none was asked for', async (t) => {
  const servers = listeners(t)
  t.equal(await listenOnFrontendSocket(anyPort, servers), undefined)
  t.notOk(servers.frontend.listening)
})
