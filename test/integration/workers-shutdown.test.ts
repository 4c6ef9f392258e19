/** The end of a server with workers, however it comes. */
import t from 'tap'
import { echoOver, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { echo, idle, listenTarget } from './target.ts'
import { allGone, endAll, startTeam, workerPids } from './workers.ts'

t.test('no worker outlives the server', async (t) => {
  const { server } = await startTeam(t, { isAlone: true })
  const pids = workerPids(server)
  t.teardown(() => endAll(pids))
  t.equal(pids.length, 2)
  server.signal('SIGKILL')
  await server.ended
  await allGone(pids)
})

t.test('a shutdown serves what is open and leaves no process behind', { timeout: 0 }, async (t) => {
  const { server, agent } = await startTeam(t, { flags: ['--shutdown-quiet-time=300ms'] })
  const target = await listenTarget(t, echo)
  const sockets = await Promise.all(Array.from({ length: 4 }, () => openTunnel(server, target.address)))
  const pids = workerPids(server)
  server.signal('SIGTERM')
  await server.logged('shutting down', 3)
  t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 500)
  const late = await openTunnel(server, target.address)
  await echoOver(late, 'who comes late is served')
  for (const socket of sockets) await echoOver(socket, 'still here')
  for (const socket of [...sockets, late]) socket.destroy()
  t.strictSame(await within(server.ended, 'the end'), { code: 0, signal: null })
  await allGone(pids)
  t.notOk(server.log.some(({ msg }) => msg === 'worker crashed'))
  agent.signal('SIGKILL')
})

t.test('a second signal ends all workers at once', async (t) => {
  const { server } = await startTeam(t)
  const target = await listenTarget(t, idle)
  const socket = await openTunnel(server, target.address)
  socket.on('error', () => undefined)
  const pids = workerPids(server)
  server.signal('SIGTERM')
  await server.logged('shutting down', 3)
  server.signal('SIGTERM')
  t.strictSame(await within(server.ended, 'the end'), { code: 1, signal: null })
  await allGone(pids)
})

t.test('signals that reach the workers as well change nothing', async (t) => {
  const { server } = await startTeam(t)
  const target = await listenTarget(t, echo)
  const socket = await openTunnel(server, target.address)
  for (const pid of workerPids(server)) for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.kill(pid, signal)
  await echoOver(socket, 'still here')
  socket.destroy()
  t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 200)
})
