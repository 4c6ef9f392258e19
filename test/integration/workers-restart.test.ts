/** SIGHUP replaces the workers one after the other under load: no byte is lost, and no request fails. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makePki } from './certificates.ts'
import { openTunnel } from './client.ts'
import { dialOnOne, dialOnOneEach } from './grpc-dialers.ts'
import { launch } from './program.ts'
import { nobodyNoticed, RESTART_MS } from './rolling.ts'
import { type Dial, startLoad, together } from './steady-load.ts'
import { agentPortFlags, frontendFlags, type Server, TRANSPORTS } from './tunnel.ts'
import { allGone, allReady, fleetOf, holdsAll, startTeam, type Team, workerPids } from './workers.ts'

const WORKERS = 2

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} workers are replaced under load, and no client notices`, { timeout: 0 }, async (t) => {
    const team = await startTeam(t, { transport, workers: WORKERS })
    const load = await startLoad(t, (address) => openTunnel(team.server, address), { halfClose: true })
    await load.goesOn(50, 3)
    await replaceAll(t, team)
    await load.goesOn(50, 3)
    await nobodyNoticed(t, load)
  })
}

t.test('in gRPC mode as well, for clients with one connection and with one for each', { timeout: 0 }, async (t) => {
  const team = await startTeam(t, { workers: WORKERS, flags: ['--mode=grpc'] })
  const one = dialOnOne(t, team.server)
  const each = dialOnOneEach(t, team.server)
  const loadOf = (dial: Dial, name: string) => startLoad(t, dial, { halfClose: false, name })
  const load = together([await loadOf(one.dial, 'one connection'), await loadOf(each.dial, 'one each')])
  await load.goesOn(50, 3)
  await replaceAll(t, team)
  await load.goesOn(50, 3)
  await nobodyNoticed(t, load)
  t.ok(one.connections() > 1, 'who keeps a connection was told to make another one')
})

t.test('a restart that is asked for during another one is refused', async (t) => {
  const { server } = await startTeam(t, { workers: WORKERS })
  server.signal('SIGHUP')
  await server.logged('replacing the workers')
  server.signal('SIGHUP')
  await server.logged('the workers are being replaced already')
  await server.logged('all workers are replaced', 1, RESTART_MS)
})

t.test('a restart that is asked for while the workers start is refused, and they start', async (t) => {
  const pki = await makePki(t)
  const anyPort = ['--server-listen-any', '--agent-port=0', '--health-port=0', '--admin-port=0']
  const flags = [
    ...frontendFlags(pki),
    ...agentPortFlags(pki),
    ...anyPort,
    '--mode=http-connect',
    `--workers=${WORKERS}`,
  ]
  const goOn = join(pki.folder, 'go-on')
  const nodeFlags = ['--import', join(import.meta.dirname, 'hold-workers.ts')] // else they may be up before the signal comes
  const server = launch(t, { name: 'proxy-server', flags, nodeFlags, env: { HELD_UNTIL: goOn } })
  await server.logged('worker started')
  server.signal('SIGHUP')
  await server.logged('the workers are only just starting')
  writeFileSync(goOn, '')
  await server.logged('serving')
  t.equal(workerPids(server).length, WORKERS)
})

/** All processes are other ones afterwards, with other ids, and the agent has them. */
async function replaceAll(t: Parameters<typeof startTeam>[0], { server, agent }: Team): Promise<void> {
  const [pids, ids] = [workerPids(server), await idsOf(server)]
  server.signal('SIGHUP')
  await server.logged('all workers are replaced', 1, RESTART_MS)
  await allGone(pids)
  await holdsAll(agent, WORKERS)
  await allReady(server, WORKERS)
  t.strictSame(
    (await idsOf(server)).filter((id) => ids.includes(id)),
    [],
  )
  t.equal(workerPids(server).length, WORKERS)
}

const idsOf = async (server: Server): Promise<string[]> => (await fleetOf(server)).map(({ serverId }) => serverId)
