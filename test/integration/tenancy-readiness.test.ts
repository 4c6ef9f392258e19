/** `/readyz` of a server: of one cluster it is about its agents, as konnectivity's; of many it is about the server alone. */
import t, { type Test } from 'tap'
import { eventually } from './deadline.ts'
import { fetchFrom, figureBecomes, SERVER } from './figures.ts'
import { agentLeaf, startHub } from './hub.ts'
import { type Agent, launchAgent, type Server, startAgent, startServer } from './tunnel.ts'
import { workerPids } from './workers.ts'

const NO_AGENT = 'no connection to any proxy agent'
/** Sooner than a server is ready without: milliseconds. */
const SOONER_MS = 10_000
/** Longer than a server waits for its first agent, on a machine that does other things: milliseconds. */
const SETTLED_MS = 40_000
const WAITS = /^500 waiting for the first agent, for \d+ s at most$/
const SEVERAL = '--workers=2'

async function readyz({ healthPort }: Server, query = ''): Promise<string> {
  const answer = await fetchFrom(healthPort, `/readyz${query}`)
  return `${answer.status} ${await answer.text()}`
}

const isReady = (server: Server, deadlineMs?: number): Promise<string> =>
  eventually(
    'the server is ready',
    () => readyz(server),
    (said) => said === '200 ok',
    deadlineMs,
  )

async function leave(server: Server, agent: Agent): Promise<void> {
  agent.signal('SIGTERM')
  await agent.ended
  await hasNone(server)
}

const hasNone = (server: Server): Promise<unknown> => figureBecomes(server, `${SERVER}ready_backend_connections`, 0)

async function startMany(t: Test, flags: readonly string[], clusters = 'id: eu-1\n') {
  const hub = await startHub(t, () => clusters, flags)
  const server = { ...hub, pki: { ...hub.pki, agent: await agentLeaf(hub, 'eu-1') } }
  return { server, comes: () => launchAgent(t, server) }
}

for (const flags of [[], [SEVERAL]]) {
  const processes = flags.length > 0 ? ', of several workers,' : ''

  t.test(`a server of many clusters${processes} is ready with its first agent, and stays so without`, async (t) => {
    const { server, comes } = await startMany(t, flags)
    t.match(await readyz(server), WAITS)
    t.match(await readyz(server, '?verbose'), /\n\[-\]agents-settled failed: waiting for the first agent/)
    const agent = await comes()
    await isReady(server, SOONER_MS)
    await leave(server, agent)
    t.equal(await readyz(server), '200 ok', 'its one child is away')
    t.match(await readyz(server, '?verbose'), /^200 \[\+\]ping ok\n\[\+\]agents-settled ok\n/)
  })

  t.test(`a server of one cluster${processes} is ready as long as it has an agent`, async (t) => {
    const server = await startServer(t, { flags })
    t.equal(await readyz(server), `500 ${NO_AGENT}`)
    const agent = await startAgent(t, server)
    await isReady(server)
    await leave(server, agent)
    await eventually(
      'it is not ready',
      () => readyz(server),
      (said) => said === `500 ${NO_AGENT}`,
    )
    t.equal(
      await readyz(server, '?verbose'),
      `500 [+]ping ok\n[-]agent-connected failed: ${NO_AGENT}\n[+]not-shutting-down ok\n`,
    )
  })
}

t.test('a worker that crashes while all agents are away leaves the server ready', async (t) => {
  const { server, comes } = await startMany(t, [SEVERAL])
  await server.logged('worker serving', 2)
  const agent = await comes()
  await isReady(server)
  await leave(server, agent)
  const [victim] = workerPids(server)
  process.kill(victim!, 'SIGKILL')
  await server.logged('worker crashed')
  t.equal(await readyz(server), '200 ok', 'the other one is there')
  await server.logged('worker serving', 3)
  t.equal(await readyz(server), '200 ok', 'a new worker has no agents, and does not need them')
})

t.test('servers to which no agent comes are ready when they have waited for long enough', async (t) => {
  const start = async (flags: readonly string[], clusters?: string): Promise<Server> => {
    const { server } = await startMany(t, flags, clusters)
    t.match(await readyz(server), WAITS)
    return server
  }
  const servers = await Promise.all([start([]), start([], ''), start([SEVERAL])])
  await Promise.all(servers.map((server) => isReady(server, SETTLED_MS)))
})

t.test('when all workers crash at once agents have the time to come back, as after a start', async (t) => {
  const { server, comes } = await startMany(t, [SEVERAL])
  const agent = await comes()
  await isReady(server)
  await leave(server, agent)
  const pids = workerPids(server)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await server.logged('worker crashed', pids.length)
  t.match(await readyz(server), WAITS)
  await comes()
  await isReady(server, SOONER_MS)
})
