/** The same in gRPC mode: calls reach their own cluster, over TLS and over the socket of a cluster, and end when it is removed. */
import { join } from 'node:path'
import t from 'tap'
import { counts } from './figures.ts'
import { dialRequest, grpcClient } from './grpc-client.ts'
import { agentLeaf, apiserverLeaf, hubAgent, startHub, userLeaf } from './hub.ts'
import { openWireAgent } from './wire-agent.ts'

const two = (folder: string): string =>
  `id: eu-1\nfrontends: {users: [bob], socket: ${join(folder, 'eu-1.sock')}}\n---\nid: eu-2\nfrontends: {users: [bob]}\n`
const hub = await startHub(t, two, ['--mode=grpc'])
const [api1, api2, bob, stranger] = await Promise.all([
  apiserverLeaf(hub, 'eu-1'),
  apiserverLeaf(hub, 'eu-2'),
  userLeaf(hub, 'bob'),
  apiserverLeaf(hub, 'eu-9'),
])
await hubAgent(t, hub, await agentLeaf(hub, 'eu-1'), 'one', 'host=10.0.0.1&default-route=true', 'same')
await hubAgent(t, hub, await agentLeaf(hub, 'eu-2'), 'two', '', 'same')

t.test('each client reaches its own cluster', async (t) => {
  const bySocket = { ...hub, transport: 'uds' as const, socketPath: join(hub.folder, 'eu-1.sock') }
  for (const [client, name] of [
    [grpcClient(t, hub, api1), 'one'],
    [grpcClient(t, hub, api2), 'two'],
    [grpcClient(t, bySocket), 'one'],
  ] as const) {
    const call = client.call()
    call.send(dialRequest('10.0.0.1:443'))
    t.match(await call.next('dialResponse'), { error: `by ${name}` })
  }
})

t.test('who is of no cluster, or of several, is told UNAUTHENTICATED and why', async (t) => {
  await counts(hub, 'culvert_server_unmapped_peers_total{port="frontend"}', 2, async () => {
    t.match(await grpcClient(t, hub, stranger).call().status, { code: 16, details: /the cluster eu-9 is not one/ })
    t.match(await grpcClient(t, hub, bob).call().status, { code: 16, details: /bob is of several clusters/ })
  })
})

t.test('the calls of a cluster that is removed end, and those of its neighbour do not', async (t) => {
  const silent = await openWireAgent(t, hub, {
    leaf: await agentLeaf(hub, 'eu-2', 'a2'),
    headers: { agentid: 'other' },
  })
  await silent.answer()
  const [gone, stays] = [grpcClient(t, hub, api2).call(), grpcClient(t, hub, api1).call()]
  for (const call of [gone, stays]) {
    call.send(dialRequest('10.0.0.1:443'))
  }
  await stays.next('dialResponse')
  hub.write(two(hub.folder).split('---')[0]!)
  t.match(await gone.status, { code: 14 })
  stays.send(dialRequest('10.0.0.1:443', '8'))
  t.match(await stays.next('dialResponse'), { error: 'by one' })
})
