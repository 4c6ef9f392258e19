/** Agents that are told of replicas hold one stream to each, by its name, whatever the front door would have given them. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { AGENT, figure, figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import {
  frontDoorOf,
  HUB,
  holds,
  makeHubPki,
  replica,
  replicaList,
  startReplica,
  startThree,
  streams,
} from './replicas.ts'
import { launchAgent } from './tunnel.ts'

const pki = await makeHubPki(t)
const ID = 'agent-with-a-name'
const HOST = `--proxy-server-host=${HUB}`

t.test('an agent that is told one address holds one stream to each replica', async (t) => {
  const { servers, start } = await startThree(t, pki)
  const agents = await Promise.all([start('--agent-id=a'), start('--agent-id=b')])
  for (const agent of agents) {
    await holds(agent, 3)
    await figureBecomes(agent, `${AGENT}known_server_count`, 3)
  }
  for (const server of servers) {
    t.equal(await streams(server), 2)
    await server.logged('agent connected', 2)
    const came = server.log.filter(({ msg }) => msg === 'agent connected').length
    t.equal(came, 2, 'nobody was asked twice: an agent that is there already says nothing of it')
  }
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
  t.match(await agent.logged('could not connect'), { server: /other\.example/, reason: /altname/ })
  await holds(agent, 1)
  t.ok((await figure(agent, 'culvert_agent_failed_connects_total')) > 0, 'each try counts, and it goes on trying')
  t.equal(await streams(server), 1)
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
