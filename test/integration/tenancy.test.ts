/** A server of many clusters: who reaches which, by what somebody has vouched for and never by what it says of itself. */
import { join } from 'node:path'
import t from 'tap'
import { ask, askFor, connectHead } from './client.ts'
import { eventually } from './deadline.ts'
import { counts, fetchFrom } from './figures.ts'
import { agentLeaf, apiserverLeaf, askHub, hubAgent, startHub, userLeaf } from './hub.ts'
import { openWireAgent } from './wire-agent.ts'

const clusters = (folder: string): string => `
id: eu-1
frontends: {users: [alice], serverNames: [eu-1.hub.example], socket: ${join(folder, 'eu-1.sock')}}
---
id: eu-2
frontends: {users: [alice, bob], serverNames: [eu-2.hub.example]}
---
id: eu-3
agents: {names: ["DNS:agent.eu-3.example"]}
frontends: {names: ["DNS:api.eu-3.example"], serverNames: [eu-3.hub.example]}
`
const hub = await startHub(t, clusters, ['--proxy-strategies=destHost,default'])
const plain = (name: string, dnsName?: string) =>
  hub.pki.issue(name, dnsName === undefined ? {} : { dnsNames: [dnsName] })
const [agent1, agent2, api1, api2, alice, bob, carol] = await Promise.all([
  agentLeaf(hub, 'eu-1'),
  agentLeaf(hub, 'eu-2'),
  apiserverLeaf(hub, 'eu-1'),
  apiserverLeaf(hub, 'eu-2'),
  userLeaf(hub, 'alice'),
  userLeaf(hub, 'bob'),
  userLeaf(hub, 'carol'),
])
const [agent3, api3, nobody] = [
  await plain('agent3', 'Agent.eu-3.example'),
  await plain('api3', 'api.eu-3.example'),
  await plain('nobody'),
]
// The first claims what the second has: its id, and the address that everybody dials.
await hubAgent(t, hub, agent1, 'one', 'host=10.0.0.1&host=10.0.0.2&default-route=true', 'same')
await hubAgent(t, hub, agent2, 'two', '', 'same')
await hubAgent(t, hub, agent3, 'three')

const by = (name: string) => ({ status: 502, body: `by ${name}` })
const forbidden = (cause: RegExp | string) => ({ status: 403, body: cause })

t.test('each API server reaches its own cluster, whatever agents of others say of themselves', async (t) => {
  for (const [leaf, name] of [
    [api1, 'one'],
    [api2, 'two'],
    [api3, 'three'],
  ] as const) {
    for (let again = 0; again < 5; again++) t.match(await askHub(hub, leaf), by(name))
  }
})

t.test('the server name may say the same as the certificate, and nothing else', async (t) => {
  t.match(await askHub(hub, api1, { serverName: 'EU-1.hub.example' }), by('one'))
  t.match(await askHub(hub, api1, { serverName: 'hub.example' }), by('one'), 'a name of no cluster says nothing')
  await counts(hub, 'culvert_server_unmapped_peers_total{port="frontend"}', 2, async () => {
    for (const leaf of [api1, api3]) {
      const answer = await askHub(hub, leaf, { serverName: 'eu-2.hub.example' })
      t.match(answer, forbidden(/another cluster than the server name that was asked for/))
    }
  })
})

t.test('a certificate that names nobody is led by the server name, and by nothing else', async (t) => {
  t.match(await askHub(hub, nobody, { serverName: 'eu-2.hub.example' }), by('two'))
  t.match(
    await askHub(hub, nobody, { serverName: 'eu-9.hub.example' }),
    forbidden(/it names no cluster of this server/),
  )
  t.match(await askHub(hub, nobody), forbidden(/it names no cluster of this server/))
})

t.test('a certificate that is mapped as an agent opens no connection, whatever server name it asks for', async (t) => {
  for (const serverName of ['eu-2.hub.example', 'eu-3.hub.example']) {
    t.match(await askHub(hub, agent3, { serverName }), forbidden(/it is that of an agent/))
  }
})

t.test('a user reaches the clusters that list him, by their server names where there are several', async (t) => {
  t.match(await askHub(hub, bob), by('two'))
  t.match(await askHub(hub, alice, { serverName: 'eu-1.hub.example' }), by('one'))
  t.match(await askHub(hub, alice, { serverName: 'eu-2.hub.example' }), by('two'))
  t.match(await askHub(hub, alice), forbidden(/is of several clusters/))
  t.match(
    await askHub(hub, bob, { serverName: 'eu-1.hub.example' }),
    forbidden(/is not of the cluster whose server name/),
  )
  t.match(await askHub(hub, carol, { serverName: 'eu-1.hub.example' }), forbidden(/the user carol is of no cluster/))
})

t.test('a Unix socket leads to its cluster', async (t) => {
  const socket = { ...hub, transport: 'uds' as const, socketPath: join(hub.folder, 'eu-1.sock') }
  t.match(await askFor(socket, '10.0.0.1:443'), by('one'))
})

t.test('roles hold as with one cluster', async (t) => {
  t.match(await askHub(hub, agent1), forbidden(/it is an agent certificate/))
  const peer = await openWireAgent(t, hub, { leaf: api1 })
  t.match(await peer.ended(), { code: 16, message: /it is an apiserver certificate/ })
})

t.test('an agent of no cluster, or of one that is not here, is refused and counted', async (t) => {
  const stranger = await agentLeaf(hub, 'eu-9')
  const both = await plain('both', 'agent.eu-3.example')
  await counts(hub, 'culvert_server_unmapped_peers_total{port="agent"}', 3, async () => {
    for (const [leaf, message] of [
      [stranger, 'client certificate not accepted: the cluster eu-9 is not one of this server'],
      [nobody, 'client certificate not accepted: it names no cluster of this server'],
      [api3, 'client certificate not accepted: it names no cluster of this server'],
    ] as const) {
      const peer = await openWireAgent(t, hub, { leaf, headers: { agentid: 'x', agentidentifiers: 'cluster=eu-1' } })
      t.strictSame(await peer.ended(), { code: 16, message })
    }
  })
  const taken = await openWireAgent(t, hub, { leaf: both, headers: { agentid: 'other' } })
  await taken.answer()
  await taken.leave()
})

t.test('an agent id is of one identity, in its own cluster', async (t) => {
  const second = await agentLeaf(hub, 'eu-1', 'a2')
  await counts(hub, 'culvert_server_refused_agents_total{why="foreign_id"}', 1, async () => {
    const peer = await openWireAgent(t, hub, { leaf: second, headers: { agentid: 'same' } })
    t.match(await peer.ended(), { code: 7, message: /this agent ID and another identity/ })
  })
  const own = await openWireAgent(t, hub, { leaf: second, headers: { agentid: 'another' } })
  await own.answer()
  await own.leave()
  const again = await openWireAgent(t, hub, { leaf: agent1, headers: { agentid: 'same' } })
  await again.answer()
  await again.leave()
})

t.test('a certificate whose names are of two clusters is of none', async (t) => {
  const torn = await hub.pki.issue('torn', {
    identity: { role: 'apiserver', cluster: 'eu-1' },
    dnsNames: ['api.eu-3.example'],
    usages: ['connect'],
  })
  t.match(await askHub(hub, torn), forbidden(/more than one cluster/))
})

t.test('the record of who is connected has each agent in its cluster', async (t) => {
  type Listed = { readonly clusters: readonly { readonly id: string; readonly agents: readonly object[] }[] }
  const listed = await eventually(
    'one agent each',
    async () => ((await (await fetchFrom(hub.adminPort, '/v1/clusters')).json()) as Listed).clusters,
    (found) => found.every(({ agents }) => agents.length === 1),
  )
  t.strictSame(listed.map(({ id }) => id).sort(), ['eu-1', 'eu-2', 'eu-3'])
})

t.test('who sends no CONNECT is answered as with one cluster', async (t) => {
  t.match(await ask(hub, 'GET / HTTP/1.1\r\n\r\n', api1), { status: 405 })
  t.match(await ask(hub, connectHead('nothing'), api1), { status: 502 })
})
