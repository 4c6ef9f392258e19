/** Agents that are told of replicas hold one stream to each, by its name, whatever the front door would have given them. */
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { AGENT, counts, fetchFrom, figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import { frontDoorOf, HUB, makeHubPki, type Replica, replica, replicaList, routesOf, startReplica } from './replicas.ts'
import { type Agent, launchAgent, type Server } from './tunnel.ts'

const pki = await makeHubPki(t)
const ID = 'agent-with-a-name'
const HOST = `--proxy-server-host=${HUB}`
/** A change of the file is looked for every five seconds, and believed at the second look. */
const CHANGE_MS = 30_000

const holds = (agent: Agent, count: number, deadlineMs?: number): Promise<number> =>
  figureBecomes(agent, `${AGENT}open_server_connections`, count, deadlineMs)

type Listed = { readonly clusters: readonly { readonly agents: readonly { readonly agentId: string }[] }[] }
/** Streams of agents that a replica has. */
async function streams(server: Server): Promise<number> {
  const { clusters } = (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as Listed
  return clusters.reduce((sum, { agents }) => sum + agents.length, 0)
}

/** Three replicas of one list behind one front door. */
async function startThree(t: Test, listed: readonly object[] = [0, 1, 2].map((number) => replica(number))) {
  const replicas = [0, 1, 2].map((number) => replica(number))
  const list = replicaList(t, listed)
  const servers = await Promise.all(replicas.map((one) => startReplica(t, pki, one, [`--replicas-file=${list.file}`])))
  const named = replicas.map((one, index): [Replica, Server] => [one, servers[index]!])
  const door = await frontDoorOf(t, named)
  const start = (...flags: string[]): Promise<Agent> =>
    launchAgent(t, { pki, agentPort: door.port }, { flags: [HOST, ...flags] })
  return { list, servers, named, door, start }
}

t.test('an agent that is told one address holds one stream to each replica', async (t) => {
  const { servers, start } = await startThree(t)
  const agents = await Promise.all([start('--agent-id=a'), start('--agent-id=b')])
  for (const agent of agents) {
    await holds(agent, 3)
    await figureBecomes(agent, `${AGENT}known_server_count`, 3)
  }
  for (const server of servers) t.equal(await streams(server), 2)
  for (const agent of agents) {
    const tries = agent.log.filter(({ msg }) => msg === 'connected').length
    t.equal(tries, 3, 'and asks nobody twice')
  }
})

t.test(
  'a replica that is added is connected to, and one that is taken out is left when the others are held',
  async (t) => {
    const { list, servers, start } = await startThree(t, [replica(0), replica(1)])
    const agent = await start()
    await holds(agent, 2)
    list.write([replica(1), replica(2)])
    await eventually(
      'it holds the new two',
      () => Promise.all(servers.map(streams)),
      (all) => String(all) === '0,1,1',
      CHANGE_MS,
    )
    const lines = agent.log.map(({ msg, server_id: id }) => `${msg} ${id}`)
    t.ok(
      lines.indexOf('connected hub-2') < lines.indexOf('leaves a server that is of no listed replica hub-0'),
      'make before break',
    )
    await holds(agent, 2)
  },
)

t.test('a broken list keeps the one before, and raises an alarm', async (t) => {
  const { list, servers, start } = await startThree(t)
  const agent = await start()
  await holds(agent, 3)
  list.write([{ ...replica(0), serverName: '127.0.0.1' }])
  await figureBecomes(servers[0]!, 'culvert_server_replicas_broken', 1, CHANGE_MS)
  t.equal(await holds(agent, 3), 3)
  await figureBecomes(servers[0]!, 'culvert_server_known_replicas', 3)
  list.write([0, 1, 2].map((number) => replica(number)))
  await figureBecomes(servers[0]!, 'culvert_server_replicas_broken', 0, CHANGE_MS)
})

t.test('a replica that comes back is found again by its name', async (t) => {
  const { list, servers, named, door, start } = await startThree(t)
  const agent = await start()
  await holds(agent, 3)
  servers[2]!.signal('SIGKILL')
  await servers[2]!.ended
  await holds(agent, 2)
  const next = await startReplica(t, pki, replica(2), [`--replicas-file=${list.file}`])
  door.reload({ routes: routesOf([...named.slice(0, 2), [replica(2), next]]) })
  await holds(agent, 3)
  t.equal(await streams(next), 1)
})

t.test('each worker of a replica is held', async (t) => {
  const list = replicaList(t, [replica(0, 2), replica(1)])
  const flags = [`--replicas-file=${list.file}`]
  const servers = await Promise.all([
    startReplica(t, pki, replica(0), [...flags, '--workers=2']),
    startReplica(t, pki, replica(1), flags),
  ])
  const door = await frontDoorOf(t, [
    [replica(0), servers[0]],
    [replica(1), servers[1]],
  ])
  const agent = await launchAgent(t, { pki, agentPort: door.port }, { flags: [HOST] })
  await holds(agent, 3)
  t.equal(await streams(servers[1]), 1)
})

t.test('who shows a certificate without the name that was listed gets no stream', async (t) => {
  const list = replicaList(t, [replica(0), { id: 'other', serverName: 'other.example' }])
  const server = await startReplica(t, pki, replica(0), [`--replicas-file=${list.file}`])
  const route = { name: 'all', hosts: [HUB, replica(0).serverName, 'other.example'] }
  const door = await startFrontDoor(t, { routes: [{ ...route, backends: [`127.0.0.1:${server.agentPort}`] }] })
  const agent = await launchAgent(t, { pki, agentPort: door.port }, { flags: [HOST] })
  await counts(agent, 'culvert_agent_failed_connects_total', 1, () => holds(agent, 1))
  t.match(await agent.logged('could not connect'), { server: /other\.example/, reason: /altname/ })
})

t.test('nobody is connected to elsewhere, unless the agent follows', async (t) => {
  const foreign = await startReplica(t, pki, replica(1), [])
  const list = replicaList(t, [replica(0), { ...replica(1), address: `127.0.0.1:${foreign.agentPort}` }])
  const server = await startReplica(t, pki, replica(0), [`--replicas-file=${list.file}`])
  const door = await frontDoorOf(t, [[replica(0), server]])
  const flags = [HOST]
  const stays = await launchAgent(t, { pki, agentPort: door.port }, { flags })
  await stays.logged('replica is at another address than the hosts: see --follow-replica-addresses')
  t.equal(await holds(stays, 1), 1)
  t.equal(await streams(foreign), 0)
  const follows = await launchAgent(
    t,
    { pki, agentPort: door.port },
    { flags: [...flags, '--follow-replica-addresses'] },
  )
  await holds(follows, 2)
  t.equal(await streams(foreign), 1)
})

t.test('a server at another address whose certificate is of another hub is not told anything', async (t) => {
  const stranger = await startReplica(t, await makePki(t), replica(1), ['--cluster-ca-cert='])
  const list = replicaList(t, [replica(0), { ...replica(1), address: `127.0.0.1:${stranger.agentPort}` }])
  const server = await startReplica(t, pki, replica(0), [`--replicas-file=${list.file}`])
  const agent = await launchAgent(
    t,
    { pki, agentPort: server.agentPort },
    { flags: ['--follow-replica-addresses', `--agent-id=${ID}`] },
  )
  await agent.logged('could not connect')
  t.equal(await holds(agent, 1), 1)
  t.equal(await streams(stranger), 0)
  t.notOk(
    stranger.log.some((line) => JSON.stringify(line).includes(ID)),
    'not even who it is',
  )
})
