/** Replicas that come, go and come back while agents hold them, and lists of them that change. */
import t from 'tap'
import { eventually } from './deadline.ts'
import { figureBecomes } from './figures.ts'
import { holds, makeHubPki, replica, routesOf, startReplica, startThree, streams } from './replicas.ts'

const pki = await makeHubPki(t)
/** A change of the file is looked for every five seconds, and believed at the second look. */
const CHANGE_MS = 30_000

t.test(
  'a replica that is added is connected to, and one that is taken out is left when the others are held',
  async (t) => {
    const { list, servers, start } = await startThree(t, pki, [replica(0), replica(1)])
    const agent = await start()
    await holds(agent, 2)
    list.write([replica(1), replica(2)])
    await eventually(
      'it holds the new two',
      () => Promise.all(servers.map(streams)),
      (all) => String(all) === '0,1,1',
      CHANGE_MS,
    )
    await agent.logged('leaves a server that is of no listed replica')
    const lines = agent.log.map(({ msg, server_id: id }) => `${msg} ${id}`)
    const leftAt = lines.indexOf('leaves a server that is of no listed replica hub-0')
    t.ok(lines.slice(0, Math.max(0, leftAt)).includes('connected hub-2'), 'make before break')
    await holds(agent, 2)
  },
)

t.test('a broken list keeps the one before, and raises an alarm', async (t) => {
  const { list, servers, start } = await startThree(t, pki)
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
  const { list, servers, named, door, start } = await startThree(t, pki)
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
