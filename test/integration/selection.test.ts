/** Who gets a dial: strategies, identifiers and draining, with agents of ours and with agents made by hand. */
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { askFor, connectFrontend, connectHead, echoOver, openTunnel } from './client.ts'
import { fetchFrom, figure, figureBecomes, SERVER } from './figures.ts'
import { dialRequest, grpcClient } from './grpc-client.ts'
import { chosen, namingAgent } from './naming-agent.ts'
import { echo, listenTarget } from './target.ts'
import { type Server, startAgent, startServer } from './tunnel.ts'
import { joinWireAgent, openWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const { port } = target

const start = (t: Test, strategies: string, ...flags: string[]): Promise<Server> =>
  startServer(t, { pki, transport: 'uds', flags: [`--proxy-strategies=${strategies}`, ...flags] })

/** Open connections by agent id, as the server tells. */
async function connections(server: Server): Promise<Record<string, number>> {
  const { clusters } = (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as {
    clusters: { agents: { agentId: string; connections: number }[] }[]
  }
  return Object.fromEntries(
    clusters.flatMap(({ agents }) => agents.map(({ agentId, connections }) => [agentId, connections])),
  )
}

async function drain(server: Server, ...agents: { readonly drain: () => void }[]): Promise<void> {
  const before = server.log.filter(({ msg }) => msg === 'agent drains').length
  for (const agent of agents) agent.drain()
  await server.logged('agent drains', before + agents.length)
}

t.test(
  'agents of ours get the dials for the hosts that they name, and the rest goes by the next strategy',
  async (t) => {
    const server = await start(t, 'destHost,defaultRoute')
    const flags = (id: string, identifiers: string) => [`--agent-id=${id}`, `--agent-identifiers=${identifiers}`]
    await startAgent(t, server, { flags: flags('by-address', 'ipv4=127.0.0.1&ipv6=::1') })
    await startAgent(t, server, { flags: flags('by-name', 'host=localhost') })
    await startAgent(t, server, { flags: flags('route', 'default-route=true') })
    await startAgent(t, server, { flags: flags('idle', 'cidr=127.0.0.0/8') })
    for (const [host, id] of Object.entries({
      '127.0.0.1': 'by-address',
      localhost: 'by-name',
      LocalHost: 'by-name',
      '127.0.0.2': 'route',
    })) {
      const reached = await listenTarget(t, echo, host === '127.0.0.2' ? host : '127.0.0.1')
      const sockets = [1, 2, 3].map(() => openTunnel(server, `${host}:${reached.port}`))
      for (const socket of await Promise.all(sockets)) await echoOver(socket, host)
      t.match(await connections(server), { 'by-address': 0, 'by-name': 0, route: 0, idle: 0, [id]: 3 }, host)
      for (const socket of await Promise.all(sockets)) socket.destroy()
      await figureBecomes(server, `${SERVER}established_connections`, 0)
    }
  },
)

t.test('every order of strategies falls through as it is written', async (t) => {
  const orders: Record<string, Record<string, string[]>> = {
    'destHost,defaultRoute,default': {
      '10.0.0.1:443': ['node', 'twin'],
      '[fd00::1]:443': ['node'],
      'node-1:10250': ['node'],
      '10.9.9.9:443': ['route'],
    },
    'destHost,default': { 'node-1:10250': ['node'], 'node-11:10250': ['node', 'plain', 'route', 'twin'] },
    'defaultRoute,destHost': { '10.0.0.1:443': ['route'] },
    'destHost,': { '10.0.0.1:443': ['node', 'twin'], '10.9.9.9:443': ['nobody'] },
  }
  const servers = await Promise.all(Object.keys(orders).map((order) => start(t, order)))
  for (const [index, [order, expected]] of Object.entries(orders).entries()) {
    const server = servers[index]!
    await namingAgent(t, server, 'plain')
    await namingAgent(t, server, 'node', 'ipv4=10.0.0.1&host=node-1&ipv6=fd00::1')
    await namingAgent(t, server, 'twin', 'host=10.0.0.1&planet=mars')
    await namingAgent(t, server, 'route', 'default-route=T&default-route=false')
    for (const [address, names] of Object.entries(expected)) {
      t.strictSame(await chosen(server, address), names, `${order} for ${address}`)
    }
  }
})

t.test('gRPC mode chooses by the address of each dial', async (t) => {
  const server = await start(t, 'destHost', '--mode=grpc')
  await namingAgent(t, server, 'one', 'ipv4=10.0.0.1')
  await namingAgent(t, server, 'other', 'ipv6=fd00::2')
  const client = grpcClient(t, server)
  for (const [address, error] of Object.entries({
    '10.0.0.1:443': 'by one',
    '[fd00::2]:443': 'by other',
    'fd00::2': 'by other',
    '10.0.0.3:443': 'No agent available',
  })) {
    const call = client.call()
    call.send(dialRequest(address))
    t.match(await call.next('dialResponse'), { error }, address)
    call.finish()
    t.match(await call.status, { code: 0 }, address)
  }
})

t.test('an agent that drains is the last resort, after all strategies', async (t) => {
  const server = await start(t, 'destHost,defaultRoute,default')
  const node = await namingAgent(t, server, 'node', 'ipv4=10.0.0.1')
  const twin = await namingAgent(t, server, 'twin', 'ipv4=10.0.0.1')
  const route = await namingAgent(t, server, 'route', 'default-route=1')
  const plain = await namingAgent(t, server, 'plain')
  t.strictSame(await chosen(server, '10.0.0.1:443'), ['node', 'twin'])
  await drain(server, node)
  t.strictSame(await chosen(server, '10.0.0.1:443'), ['twin'])
  await drain(server, twin)
  t.strictSame(await chosen(server, '10.0.0.1:443'), ['route'])
  await drain(server, route)
  t.strictSame(await chosen(server, '10.0.0.1:443'), ['plain'])
  t.strictSame(await chosen(server, '10.9.9.9:443'), ['plain'])
  await drain(server, plain)
  t.strictSame(await chosen(server, '10.0.0.1:443'), ['node', 'twin'])
  t.strictSame(await chosen(server, '10.9.9.9:443'), ['route'])
  await namingAgent(t, server, 'fresh')
  t.strictSame(await chosen(server, '10.0.0.1:443'), ['fresh'])
})

t.test('an agent of ours that is told to end gives its hosts to the next strategy, and they come back', async (t) => {
  const server = await start(t, 'destHost,default')
  const flags = ['--agent-id=node', '--agent-identifiers=ipv4=127.0.0.1']
  const leaving = await startAgent(t, server, { flags })
  const held = await openTunnel(server, target.address)
  await startAgent(t, server, { flags: ['--agent-id=other'] })
  leaving.signal('SIGTERM')
  await server.logged('agent drains')
  const socket = await openTunnel(server, target.address)
  t.match(await connections(server), { node: 1, other: 1 })
  held.destroy()
  await leaving.ended
  await startAgent(t, server, { flags })
  const back = await openTunnel(server, target.address)
  t.match(await connections(server), { node: 1, other: 1 })
  socket.destroy()
  back.destroy()
})

t.test('one agent id on two streams: the older one serves, and the younger one as soon as it has gone', async (t) => {
  const server = await start(t, 'destHost,default')
  const id = { agentid: 'twin' }
  const elder = await namingAgent(t, server, 'elder', 'host=n1&host=n2', id)
  await namingAgent(t, server, 'younger', 'host=n2&host=n3', id)
  const backends = (strategy: string) => figure(server, `${SERVER}ready_backends{proxy_strategy="${strategy}"}`)
  const all = async () => [
    await chosen(server, 'n1:1'),
    await chosen(server, 'n2:1'),
    await chosen(server, 'n3:1'),
    await backends('destHost'),
    await backends('default'),
    await figure(server, `${SERVER}ready_backend_connections`),
  ]
  t.strictSame(await all(), [['elder'], ['elder'], ['younger'], 3, 1, 3])
  elder.leave()
  await server.logged('agent disconnected')
  t.strictSame(await all(), [['younger'], ['younger'], ['younger'], 2, 1, 2], 'n1 by the next strategy')
})

t.test('ready means that the first strategy has an agent', async (t) => {
  const ready = async (server: Server) => (await fetchFrom(server.healthPort, '/readyz')).status
  for (const [order, identifiers] of [
    ['destHost,default', 'ipv4=10.0.0.1'],
    ['defaultRoute,default', 'default-route=true'],
    ['default,destHost', ''],
  ] as const) {
    const server = await start(t, order)
    t.equal(await ready(server), 500, `${order}: nobody`)
    if (identifiers !== '') {
      await namingAgent(t, server, 'other', 'cidr=10.0.0.0/8')
      t.equal(await ready(server), 500, `${order}: somebody`)
      t.strictSame(await chosen(server, '10.9.9.9:1'), ['other'], 'who serves all the same')
    }
    const agent = await namingAgent(t, server, 'first', identifiers)
    t.equal(await ready(server), 200, order)
    await drain(server, agent)
    t.equal(await ready(server), 200, `${order}: also while it drains`)
    agent.leave()
    await server.logged('agent disconnected')
    t.equal(await ready(server), 500, `${order}: gone`)
  }
})

t.test('a dial goes to another agent when the first one has as many as it may', async (t) => {
  const server = await start(t, 'default', '--max-pending-dials-per-stream=1')
  const agents = [await joinWireAgent(t, server, { agentid: 'a' }), await joinWireAgent(t, server, { agentid: 'b' })]
  const dial = async () => {
    const socket = await connectFrontend(server)
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined).write(connectHead('10.0.0.1:443'))
  }
  await Promise.all([dial(), dial()])
  await Promise.all(agents.map((agent) => agent.next('DIAL_REQ')))
  t.match(await askFor(server, '10.0.0.1:443'), { status: 503 })
  t.equal(await figure(server, 'culvert_server_refused_dials_total{limit="stream"}'), 1)
})

t.test('a dial whose agent is lost goes to another one by the same strategies', async (t) => {
  const server = await start(t, 'destHost,default')
  const first = await joinWireAgent(t, server, { agentid: 'first', agentidentifiers: 'ipv4=10.0.0.1' })
  const answer = askFor(server, '10.0.0.1:443')
  await first.next('DIAL_REQ')
  for (const name of ['x', 'y', 'z']) await namingAgent(t, server, name)
  await namingAgent(t, server, 'second', 'ipv4=10.0.0.1')
  await first.leave()
  t.match(await answer, { status: 502, body: 'by second' })
})

t.test('an agent may name thousands of hosts, within limits', async (t) => {
  const flags = ['--max-header-list-bytes=1MiB', '--max-identifiers-per-identity=5000', '--proxy-strategies=destHost']
  const server = await startServer(t, { pki, flags })
  const hosts = Array.from({ length: 2_999 }, (_, index) => `ipv4=10.${index >> 8}.${index & 255}.1`)
  const identifiers = ['ipv4=127.0.0.1', ...hosts].join('&')
  const agent = await startAgent(t, server, { flags: [`--agent-identifiers=${identifiers}`] })
  const backends = `${SERVER}ready_backends{proxy_strategy="destHost"}`
  t.equal(await figure(server, backends), 3_000)
  const socket = await openTunnel(server, `127.0.0.1:${port}`)
  await echoOver(socket, 'the first of many')
  const over = await openWireAgent(t, server, { headers: { agentid: 'more', agentidentifiers: identifiers } })
  t.match(await over.ended(), { code: 8, message: 'agents with this identity would have 6000 identifiers' })
  await echoOver(socket, 'goes on')
  socket.destroy()
  agent.signal('SIGKILL')
  await figureBecomes(server, backends, 0)
})
