/** Workers that cannot start any more: the others serve, the log says what is wrong, and with none left the program ends. */
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import type { Server } from './tunnel.ts'
import { allGone, allReady, fleetOf, holdsAll, startTeam, workerPids } from './workers.ts'

/** Of `docs/workers.md`. */
const STARTS_IN_VAIN = 5
/** Back-off of so many starts, each at the next look at who is due, and what a busy machine adds. */
const GIVEN_UP_MS = 60_000
const CRASHES = 'culvert_server_worker_crashes_total'
const BROKEN = 'no longer a key'

/** After the first crash in a row: a tenth of 200 ms, less what the log's clock rounds. */
const LEAST_BACKOFF_MS = 15

/** From each crash to the start of who replaces it. */
function waitsIn({ log }: Server): number[] {
  const at = (message: string): number[] =>
    log.filter(({ msg }) => msg === message).map(({ time }) => Date.parse(String(time)))
  const starts = at('worker started').slice(2)
  return at('worker crashed').flatMap((crash, index) => (starts[index] === undefined ? [] : [starts[index] - crash]))
}

const startsOf = ({ log }: Server): number => log.filter(({ msg }) => msg === 'worker started').length

t.test('a worker that cannot start is tried ever later, beside one that serves', { timeout: 0 }, async (t) => {
  const pki = await makePki(t)
  const calm = { flags: ['--sync-interval=1s'] } // it looks for the worker that it lacks
  const { server, agent } = await startTeam(t, { pki, transport: 'uds', agent: calm })
  const target = await listenTarget(t, echo)
  const good = readFileSync(pki.server.keyFile)
  const [victim, other] = workerPids(server)
  writeFileSync(pki.server.keyFile, BROKEN)
  process.kill(victim!, 'SIGKILL')

  const starts = STARTS_IN_VAIN + 1
  const { worker } = await server.logged('worker crashed')
  for (let count = 1; count <= starts; count++) {
    t.match(await server.logged('worker cannot start', count), { reason: /--cluster-key/, worker })
  }
  t.notMatch(JSON.stringify(server.log), BROKEN, 'what is in the file is not told')
  const waits = waitsIn(server)
  t.ok(
    waits.slice(1).every((ms) => ms >= LEAST_BACKOFF_MS),
    `from crash to start: ${waits.join(', ')} ms`,
  )
  for (let count = 0; count < 10; count++) {
    const socket = await openTunnel(server, target.address)
    await echoOver(socket, 'the other one serves')
    socket.destroy()
  }
  t.strictSame(new Set((await fleetOf(server)).map(({ worker }) => worker)), new Set([3 - Number(worker)]))
  t.equal(await figure(server, 'culvert_server_workers{state="up"}'), 1)
  t.ok((await figure(server, CRASHES)) >= starts)

  writeFileSync(pki.server.keyFile, good)
  await holdsAll(agent, 2)
  await allReady(server, 2)
  t.ok(workerPids(server).includes(other!), 'the other one is who it was')
  await figureBecomes(server, 'culvert_server_workers{state="up"}', 2)
})

t.test('a program whose workers all crash at every start ends, and has said why', { timeout: 0 }, async (t) => {
  const pki = await makePki(t)
  const { server } = await startTeam(t, { pki, transport: 'uds' })
  writeFileSync(pki.server.keyFile, BROKEN)
  const pids = workerPids(server)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  t.strictSame(await within(server.ended, 'the end of the program', GIVEN_UP_MS), { code: 1, signal: null })
  t.match(await server.logged('worker cannot start'), { reason: /--cluster-key/ })
  t.match(await server.logged('giving up'), { reason: /^5 workers in a row ended .*--cluster-key/s })
  t.ok(startsOf(server) <= 2 + STARTS_IN_VAIN + 1, `${startsOf(server)} starts, two of them before`)
  await allGone(pids)
})

t.test('a restart whose first worker cannot start leaves the workers that there are', async (t) => {
  const pki = await makePki(t)
  const { server } = await startTeam(t, { pki, transport: 'uds' })
  const target = await listenTarget(t, echo)
  const good = readFileSync(pki.server.keyFile)
  const pids = workerPids(server)
  const socket = await openTunnel(server, target.address)
  writeFileSync(pki.server.keyFile, BROKEN)
  server.signal('SIGHUP')
  await server.logged('the workers are not replaced: a new one ended before it served; those before stay')
  t.match(await server.logged('worker cannot start'), { reason: /--cluster-key/ })
  t.strictSame(workerPids(server), pids)
  await echoOver(socket, 'still served')
  socket.destroy()
  writeFileSync(pki.server.keyFile, good)
  server.signal('SIGHUP')
  await server.logged('replacing the workers', 2)
  await server.logged('all workers are replaced')
  t.equal(workerPids(server).filter((pid) => pids.includes(pid)).length, 0, 'the next one succeeds')
})
