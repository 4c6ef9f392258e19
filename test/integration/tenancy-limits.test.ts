/** Limits of a cluster: who is at one is told so and counted, and its neighbours notice nothing. Over http-connect and gRPC alike. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { connectHead, echoOver, endOf, openTunnel, readAll, readAnswer } from './client.ts'
import { eventually } from './deadline.ts'
import { counts, figure, figureBecomes } from './figures.ts'
import { type Call, dialRequest, grpcClient } from './grpc-client.ts'
import { agentLeaf, apiserverLeaf, askHub, connectHub, type Hub, startHub } from './hub.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const [floodAgent, calmAgent, flood, calm] = await Promise.all([
  agentLeaf({ pki }, 'flood'),
  agentLeaf({ pki }, 'calm'),
  apiserverLeaf({ pki }, 'flood'),
  apiserverLeaf({ pki }, 'calm'),
])

/** The limits are those of the cluster `flood`; `calm` has the default ones. */
const hubOf = (t: Test, limits: string, flags: readonly string[] = []): Promise<Hub> =>
  startHub(t, () => `id: flood\nlimits: {${limits}}\n---\nid: calm\n`, flags, pki)

const as = (hub: Hub, leaf: typeof flood): Hub => ({ ...hub, pki: { ...pki, apiserver: leaf } })
const join = (t: Test, hub: Hub, leaf: typeof floodAgent, flags: readonly string[] = []) =>
  startAgent(t, { ...hub, pki: { ...pki, agent: leaf } }, { flags })
const refusals = (limit: string): string => `culvert_server_cluster_refusals_total{cluster="flood",limit="${limit}"}`

async function withBoth(t: Test, limits: string, flags: readonly string[] = []): Promise<Hub> {
  const hub = await hubOf(t, limits, flags)
  await join(t, hub, floodAgent)
  await join(t, hub, calmAgent)
  return hub
}

t.test('agents: one over the limit is told RESOURCE_EXHAUSTED, and one that leaves makes room', async (t) => {
  const hub = await hubOf(t, 'agents: 1')
  const first = await openWireAgent(t, hub, { leaf: floodAgent, headers: { agentid: 'a' } })
  await first.answer()
  await counts(hub, refusals('agents'), 1, async () => {
    const second = await openWireAgent(t, hub, { leaf: floodAgent, headers: { agentid: 'b' } })
    t.strictSame(await second.ended(), { code: 8, message: 'cluster flood is at its limit of 1 agents' })
  })
  const neighbour = await openWireAgent(t, hub, { leaf: calmAgent })
  await neighbour.answer()
  await first.leave()
  await (await openWireAgent(t, hub, { leaf: floodAgent, headers: { agentid: 'b' } })).answer()
})

t.test('connections: 503 with the reason, and one that ends makes room', async (t) => {
  const hub = await withBoth(t, 'connections: 2')
  const [first, second] = [
    await openTunnel(as(hub, flood), target.address),
    await openTunnel(as(hub, flood), target.address),
  ]
  await counts(hub, refusals('connections'), 1, async () => {
    t.match(await askHub(hub, flood, { address: target.address }), {
      status: 503,
      reason: 'Service Unavailable: cluster flood is at its limit of 2 connections',
      headers: { 'retry-after': '1', 'proxy-status': /error=connection_limit_reached/ },
    })
  })
  const healthy = await openTunnel(as(hub, calm), target.address)
  await echoOver(healthy, 'unharmed')
  first.destroy()
  await figureBecomes(hub, 'culvert_server_cluster_usage{cluster="flood",limit="connections"}', 1)
  const third = await openTunnel(as(hub, flood), target.address)
  await echoOver(third, 'room')
  for (const socket of [second, third, healthy]) socket.destroy()
})

t.test('dials: those pending and those of a second are bounded, with 503 and 429', async (t) => {
  const pending = await hubOf(t, 'pendingDials: 1')
  const silent = await openWireAgent(t, pending, { leaf: floodAgent })
  await silent.answer()
  const waiting = await connectHub(pending, flood)
  t.teardown(() => waiting.destroy())
  waiting.on('error', () => undefined).write(connectHead('10.0.0.1:443'))
  await silent.next('DIAL_REQ')
  t.match(await askHub(pending, flood), { status: 503, reason: /at its limit of 1 pending dials/ })
  waiting.destroy()
  await figureBecomes(pending, 'culvert_server_cluster_usage{cluster="flood",limit="pending_dials"}', 0)

  const hub = await withBoth(t, 'dialsPerSecond: 3')
  // All ask in the same moment, however long their handshakes take.
  const sockets = await Promise.all(Array.from({ length: 30 }, () => connectHub(hub, flood)))
  const answers = await Promise.all(
    sockets.map(async (socket) => {
      socket.write(connectHead('127.0.0.1:1'))
      const answer = readAnswer((await readAll(socket)).toString('latin1'))
      socket.destroy()
      return answer
    }),
  )
  const limited = answers.filter(({ status }) => status === 429)
  t.ok(limited.length >= 15, `${limited.length} of 30`)
  t.ok(limited.length < 30, 'not all')
  t.match(limited[0], { reason: 'Too Many Requests: cluster flood is at its limit of 3 dials a second' })
  t.equal(await figure(hub, refusals('dials_per_second')), limited.length)
  const all = await Promise.all(Array.from({ length: 30 }, () => askHub(hub, calm, { address: '127.0.0.1:1' })))
  t.ok(
    all.every(({ status }) => status === 502),
    'the neighbour dials on',
  )
})

t.test(
  'clients: 503 for those over the limit, a hang-up for a flood of them, and the neighbour is served',
  async (t) => {
    const hub = await withBoth(t, 'clients: 2')
    const held: Socket[] = [await connectHub(hub, flood), await connectHub(hub, flood)]
    await figureBecomes(hub, 'culvert_server_cluster_usage{cluster="flood",limit="clients"}', 2)
    t.match(await askHub(hub, flood), { status: 503, reason: /cluster flood is at its limit of 2 clients/ })
    let told = 0
    const coming = Array.from({ length: 150 }, async () => {
      const socket = await connectHub(hub, flood)
      socket.once('data', () => told++)
      return { socket, end: endOf(socket) } // from now on: it may end while others still come
    })
    const many = await Promise.all(coming)
    const healthy = await openTunnel(as(hub, calm), target.address)
    await echoOver(healthy, 'during the flood')
    await Promise.all(many.map(({ end }) => end))
    t.ok(told > 0, `${told} are told, the others hung up on`) // a hundred at a time, so how many is for the machine to say
    for (const socket of [...many.map((one) => one.socket), ...held, healthy]) socket.destroy()
    await figureBecomes(hub, 'culvert_server_cluster_usage{cluster="flood",limit="clients"}', 0)
    t.match(await askHub(hub, flood, { address: '127.0.0.1:1' }), { status: 502 }, 'there is room again')
  },
)

/** Whether the call was told that its connection stands. */
async function dialled(call: Call, address = target.address): Promise<string> {
  call.send(dialRequest(address))
  const { error } = await call.next('dialResponse')
  return error ?? ''
}

t.test('gRPC: calls and HTTP/2 connections of a cluster are bounded by RESOURCE_EXHAUSTED', async (t) => {
  const hub = await withBoth(t, 'clients: 2', ['--mode=grpc'])
  const client = grpcClient(t, hub, flood)
  const calls = [client.call(), client.call()]
  for (const call of calls) t.equal(await dialled(call), '')
  const startMs = performance.now()
  await counts(hub, refusals('clients'), 1, async () => {
    t.match(await client.call().status, { code: 8, details: 'cluster flood is at its limit of 2 clients' })
  })
  t.ok(performance.now() - startMs >= 1_000, 'it waits for that as a CONNECT client does')
  const other = grpcClient(t, hub, flood) // the second connection
  t.match(await other.call().status, { code: 8 })
  const third = grpcClient(t, hub, flood)
  await counts(hub, refusals('sessions'), 1, async () => {
    t.match(await third.call().status, { code: 8, details: 'cluster flood is at its limit of 2 HTTP/2 connections' })
  })
  t.equal(await dialled(grpcClient(t, hub, calm).call()), '', 'the neighbour is served')
  calls[0]!.finish()
  await calls[0]!.status
  await eventually(
    'a call finds room',
    () => dialled(client.call()).catch(String),
    (error) => error === '',
  )
})

t.test('gRPC: dials of a cluster are bounded, and the client is told why', async (t) => {
  const hub = await withBoth(t, 'connections: 1', ['--mode=grpc'])
  const client = grpcClient(t, hub, flood)
  t.equal(await dialled(client.call()), '')
  t.equal(await dialled(client.call()), 'cluster flood is at its limit of 1 connections')
  t.equal(await dialled(grpcClient(t, hub, calm).call()), '')
})

t.test('bytes: a cluster whose clients stall gives up its own largest connection, not its neighbours', async (t) => {
  const source = await listenTarget(t, (socket) => {
    const chunk = Buffer.alloc(65_536)
    const pour = (): void => {
      while (socket.writable && socket.write(chunk));
    }
    socket.on('drain', pour)
    pour()
  })
  const hub = await withBoth(t, 'bufferedBytes: 1MiB', ['--stream-buffer-bytes=16MiB'])
  const healthy = await openTunnel(as(hub, calm), target.address)
  const stalled = await Promise.all(Array.from({ length: 12 }, () => openTunnel(as(hub, flood), source.address)))
  const gone = Promise.race(stalled.map((socket) => once(socket, 'close')))
  for (const socket of stalled) {
    socket.on('error', () => undefined)
    socket.once('readable', () => undefined) // that it notices its end; it reads nothing
  }
  await eventually(
    'some of its connections are given up', // several at once, it may be
    () => figure(hub, 'culvert_server_forced_closes_total{reason="over_budget"}'),
    (closes) => closes > 0,
  )
  const seen: number[] = []
  await eventually(
    'bytes of the others wait', // none may for a moment: those that were given up may have been all that had any
    async () => {
      seen.push(await figure(hub, 'culvert_server_cluster_usage{cluster="flood",limit="buffered_bytes"}'))
      return seen.at(-1)
    },
    (bytes = 0) => bytes > 0,
  )
  t.ok(Math.max(...seen) <= 2 ** 20, `${seen} bytes wait`)
  await echoOver(healthy, 'unharmed')
  for (const socket of [...stalled, healthy]) socket.destroy()
  await gone
})
