/** The audit log and the fleet of a hub of many clusters: each line and each event says whose it is. */
import { get as httpGet, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { eventReader, type ServerEvent } from '../../src/cli/event-stream.ts'
import { auditHas, chainProblems } from './audit-log.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { connectHead, readAll } from './client.ts'
import { event, eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { agentLeaf, apiserverLeaf, askHub, connectHub, hubAgent, startHub } from './hub.ts'
import { openWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const path = join(temporaryFolder(t), 'hub.log')
const clusters = 'id: eu-1\nlimits: {clients: 1}\n---\nid: us-1\nlimits: {dialsPerSecond: 1}\n---\nid: zz-1\n'
const hub = await startHub(t, () => clusters, [`--audit-log-file=${path}`], pki)
const [agent1, agent2, api1, api2] = await Promise.all([
  agentLeaf(hub, 'eu-1'),
  agentLeaf(hub, 'us-1'),
  apiserverLeaf(hub, 'eu-1'),
  apiserverLeaf(hub, 'us-1'),
])
const one = await hubAgent(t, hub, agent1, 'one')
const two = await hubAgent(t, hub, agent2, 'two')
const destination = '10.0.0.1:443'

t.test('a dial and its agents are of their cluster', async (t) => {
  await askHub(hub, api1)
  await askHub(hub, api2)
  t.match(await auditHas(path, { event: 'dial', cluster: 'eu-1' }), [
    { principal: 'cluster/eu-1/apiserver', destination, agent: 'one', verdict: 'allowed', reason: 'by one' },
  ])
  t.match(await auditHas(path, { event: 'dial', cluster: 'us-1' }), [{ agent: 'two', reason: 'by two' }])
  t.match(await auditHas(path, { event: 'agent', cluster: 'us-1' }), [{ agent: 'two', verdict: 'allowed' }])
})

t.test('who is of no cluster of this hub is refused, and the log says why', async (t) => {
  const agent = await openWireAgent(t, hub, { leaf: await agentLeaf(hub, 'xx-9') })
  t.match(await agent.ended(), { code: 16 })
  await auditHas(path, { event: 'agent', verdict: 'refused', reason: /the cluster xx-9 is not one of this server/ })
  t.equal((await askHub(hub, await apiserverLeaf(hub, 'xx-9'))).status, 403)
  await auditHas(path, { event: 'frontend', verdict: 'refused', reason: /the cluster xx-9 is not one of this server/ })
})

t.test('what is over a limit of a cluster is refused as that', async (t) => {
  const clients = await Promise.all([1, 2, 3].map(() => connectHub(hub, api2)))
  for (const client of clients) client.write(connectHead(destination)) // in one moment, not in that of a handshake
  await Promise.all(clients.map((client) => readAll(client)))
  for (const client of clients) client.destroy()
  await auditHas(path, {
    event: 'dial',
    cluster: 'us-1',
    rule: 'limit',
    verdict: 'refused',
    reason: /limit of 1 dials a second/,
  })
  const waiting = await connectHub(hub, api1)
  t.teardown(() => waiting.destroy())
  t.equal((await askHub(hub, api1)).status, 503)
  await auditHas(path, {
    event: 'frontend',
    cluster: 'eu-1',
    principal: 'cluster/eu-1/apiserver',
    verdict: 'refused',
    reason: /limit of 1 clients/,
  })
  waiting.write(connectHead(destination))
})

t.test('one cluster is lost, and the others and the readiness of the hub stay', async (t) => {
  const request = httpGet({ host: '127.0.0.1', port: hub.adminPort, path: '/v1/events', agent: false })
  request.on('error', () => undefined)
  t.teardown(() => request.destroy())
  const response = await event<IncomingMessage>(request, 'response')
  const seen: ServerEvent[] = []
  const read = eventReader()
  response.on('error', () => undefined).on('data', (bytes: Buffer) => seen.push(...read(bytes.toString())))
  t.match(await (await fetchFrom(hub.adminPort, '/v1/clusters/zz-1')).json(), {
    state: 'lost',
    reason: 'no agent has come yet',
    agents: [],
  })
  await two.leave()
  await eventually(
    'the loss is told',
    () => seen.map(({ type, data }) => `${type} ${(JSON.parse(data) as { cluster?: string }).cluster}`),
    (told) => told.includes('lost us-1'),
  )
  const { clusters } = (await (await fetchFrom(hub.adminPort, '/v1/clusters')).json()) as {
    clusters: { id: string; state: string }[]
  }
  t.strictSame(
    clusters.map(({ id, state }) => `${id} ${state}`),
    ['eu-1 established', 'us-1 lost', 'zz-1 lost'],
  )
  t.equal((await fetchFrom(hub.healthPort, '/readyz')).status, 200)
  const metrics = await (await fetchFrom(hub.adminPort, '/metrics')).text()
  t.match(metrics, /culvert_server_cluster_agents\{cluster="eu-1"\} 1\n/)
  t.match(metrics, /culvert_server_clusters\{state="lost"\} 2\n/)
  await one.leave()
  await auditHas(path, { event: 'agent-end' }, 2) // the last lines, and they are whole
  t.strictSame(chainProblems(path), [])
})
