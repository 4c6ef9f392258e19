/** The clusters of a running server change: who is of none any more is cut off, and a broken file changes nothing. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connectHead, echoOver, endOf, openTunnel, readAll } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom, figure, figureBecomes } from './figures.ts'
import { agentLeaf, apiserverLeaf, askHub, connectHub, hubAgent, startHub } from './hub.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

/** Two looks at the files, and what a busy machine adds. */
const NOTICED_MS = 30_000
t.jobs = 4
const together = { buffered: true }

const two = 'id: eu-1\n---\nid: eu-2\n'
const target = await listenTarget(t, echo)

t.test('a cluster that is removed loses its agents and clients, and its neighbour none', together, async (t) => {
  const hub = await startHub(t, () => two, ['--connect-head-timeout=10m'])
  const [own, other] = [await apiserverLeaf(hub, 'eu-1'), await apiserverLeaf(hub, 'eu-2')]
  await startAgent(t, { ...hub, pki: { ...hub.pki, agent: await agentLeaf(hub, 'eu-1') } })
  const peer = await openWireAgent(t, hub, { leaf: await agentLeaf(hub, 'eu-2') })
  await peer.answer()
  const open = await openTunnel({ ...hub, pki: { ...hub.pki, apiserver: own } }, target.address)
  const idle = await connectHub(hub, other)
  const cut = endOf(idle)
  hub.write('id: eu-1\n')
  t.match(await peer.ended(), { code: 16, message: /the cluster eu-2 is not one of this server/ })
  await cut
  await echoOver(open, 'the neighbour goes on')
  t.match(await askHub(hub, other), { status: 403 })
  await figureBecomes(hub, 'culvert_server_agent_stream_ends_total{how="unmapped"}', 1)
  const metrics = await (await fetchFrom(hub.adminPort, '/metrics')).text()
  t.match(metrics, 'cluster="eu-1"')
  t.notMatch(metrics, 'cluster="eu-2"', 'its series are gone')
  open.destroy()
})

t.test('a mapping that moves takes its agents away from the old cluster', together, async (t) => {
  const hub = await startHub(t, () => 'id: a\nagents: {names: ["DNS:agent.example"]}\n---\nid: b\n')
  const leaf = await hub.pki.issue('mapped', { dnsNames: ['agent.example'] })
  const peer = await openWireAgent(t, hub, { leaf })
  await peer.answer()
  hub.write('id: a\n---\nid: b\nagents: {names: ["DNS:agent.example"]}\n')
  t.match(await peer.ended(), { code: 16, message: /it is of another cluster now/ })
  const again = await openWireAgent(t, hub, { leaf })
  await again.answer()
  await figureBecomes(hub, 'culvert_server_cluster_usage{cluster="b",limit="agents"}', 1)
})

t.test('a mapping that is added beside another cuts nobody off', together, async (t) => {
  const names = (agents: string, more = ''): string => `id: a
agents: {names: ["DNS:${agents}"]}
frontends: {serverNames: [a.hub.example]${more}}
`
  const hub = await startHub(t, () => names('agent.example'), ['--connect-head-timeout=10m'])
  await hubAgent(t, hub, await hub.pki.issue('mapped', { dnsNames: ['agent.example', 'more.example'] }), 'one')
  const client = await hub.pki.issue('client', { dnsNames: ['api.example'] })
  const idle = await connectHub(hub, client, 'a.hub.example')
  await figureBecomes(hub, 'culvert_server_cluster_usage{cluster="a",limit="clients"}', 1)
  hub.write(names('more.example', ', names: ["DNS:api.example"]'))
  await hub.logged('clusters changed')
  await figureBecomes(hub, 'culvert_server_clusters_broken', 0) // answered when the change is through
  idle.write(connectHead('10.0.0.1:443'))
  t.match((await readAll(idle)).toString('latin1'), 'by one')
})

t.test('a new cluster is served, with its socket, without a restart', together, async (t) => {
  const hub = await startHub(t, () => 'id: eu-1\n')
  const path = join(hub.folder, 'eu-2.sock')
  const leaf = await agentLeaf(hub, 'eu-2')
  t.match(await (await openWireAgent(t, hub, { leaf })).ended(), { code: 16 })
  hub.write(`${two}frontends: {socket: ${path}}\n`)
  await hub.logged('serving on the socket of a cluster')
  t.ok(existsSync(path))
  await hubAgent(t, hub, leaf, 'two')
  t.match(await askHub(hub, await apiserverLeaf(hub, 'eu-2')), { status: 502, body: 'by two' })
  hub.write('id: eu-1\n')
  await eventually(
    'the socket is gone',
    async () => existsSync(path),
    (there) => !there,
    NOTICED_MS,
  )
})

t.test('a broken file keeps the clusters before and raises an alarm, until it is mended', together, async (t) => {
  const hub = await startHub(t, () => two)
  const leaf = await agentLeaf(hub, 'eu-1')
  const agent = await openWireAgent(t, hub, { leaf })
  await agent.answer()
  for (const text of ['', 'id: &a eu-1\nagents: {names: [*a]}\n', 'id: EU\n', `${two}---\nid: eu-1\n`]) {
    const before = hub.log.filter(({ msg }) => msg === 'clusters are broken, the ones before stay in use').length
    hub.write(text)
    const { reason } = await hub.logged('clusters are broken, the ones before stay in use', before + 1)
    t.match(String(reason), text === '' ? /expected at least one cluster/ : /clusters\.yaml:\d+: /)
    t.equal(await figure(hub, 'culvert_server_clusters_broken'), 1)
    t.match(await askHub(hub, await apiserverLeaf(hub, 'eu-2')), { status: 500 }, 'known, without an agent')
  }
  t.notOk(agent.stream.destroyed)
  hub.write(`# mended\n${two}`)
  await hub.logged('clusters are good again')
  await figureBecomes(hub, 'culvert_server_clusters_broken', 0)
  t.notOk(agent.stream.destroyed)
})
