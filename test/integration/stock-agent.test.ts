/** Our server with an agent that knows nothing of Culvert: konnectivity's protocol, by @grpc/grpc-js. */
import type { Socket } from 'node:net'
import { type ClientDuplexStream, credentials, Metadata, type StatusObject } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { askFor, connectFrontend, connectHead, echoOver, endOf, openTunnel, readAll, readBytes } from './client.ts'
import { eventually, within } from './deadline.ts'
import { fetchFrom, figure, figureBecomes, SERVER } from './figures.ts'
import { AgentClient, type Stock, type StockPacket, speakStock } from './stock-peer.ts'
import { type Server, startServer, TRANSPORTS } from './tunnel.ts'

const MEBIBYTE = 1024 * 1024
const pki = await makePki(t)

type StockAgent = Stock & {
  readonly call: ClientDuplexStream<object, StockPacket>
  readonly metadata: Promise<Metadata>
  readonly status: Promise<StatusObject>
  /** Answers each dial at once, and sends back what it gets. */
  readonly echo: () => void
}

type Connect = (metadata: Metadata) => ClientDuplexStream<object, StockPacket>

function connectStock(t: Test, { agentPort }: Server, metadata: Metadata): ClientDuplexStream<object, StockPacket> {
  const { agent, authority } = pki
  const [ca, key, cert] = [authority.certificatePem, agent.key, agent.cert].map((pem) => Buffer.from(pem))
  const client = new AgentClient(`127.0.0.1:${agentPort}`, credentials.createSsl(ca!, key, cert), {
    'grpc.ssl_target_name_override': 'hub.example',
  })
  const call = (client as unknown as { Connect: Connect }).Connect(metadata)
  call.on('error', () => undefined)
  t.teardown(() => {
    call.cancel()
    client.close()
  })
  return call
}

async function stockAgent(t: Test, server: Server, entries: Record<string, string> = {}): Promise<StockAgent> {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries({ agentID: 'stock', agentIdentifiers: '', ...entries })) {
    metadata.set(name, value)
  }
  const call = connectStock(t, server, metadata)
  const answer = new Promise<Metadata>((resolve) => call.once('metadata', resolve))
  const status = new Promise<StatusObject>((resolve) => call.once('status', resolve))
  const stock = speakStock(call)
  let lastId = 0
  const echo = (): void => {
    call.on('data', ({ dialRequest, data, closeRequest }: StockPacket) => {
      if (dialRequest) {
        stock.send({ type: 'DIAL_RSP', dialResponse: { random: dialRequest.random, connectID: String(++lastId) } })
      }
      if (data) stock.send({ type: 'DATA', data })
      if (closeRequest) stock.send({ type: 'CLOSE_RSP', closeResponse: { connectID: closeRequest.connectID } })
    })
  }
  await Promise.race([within(answer, 'the metadata of the server'), status])
  return { ...stock, call, metadata: answer, status, echo }
}

const address = '10.0.0.1:443'

type Open = { readonly agent: StockAgent; readonly socket: Socket; readonly connectID: string }

/** A connection whose number no double can hold, through an agent that does what the test tells it. */
async function open(t: Test, server: Server): Promise<Open> {
  const agent = await stockAgent(t, server)
  const connectID = '9007199254740993'
  const tunnel = openTunnel(server, address)
  const { random } = await agent.next('dialRequest')
  agent.send({ type: 'DIAL_RSP', dialResponse: { random, connectID } })
  const socket = await tunnel
  t.teardown(() => socket.destroy())
  return { agent, socket, connectID }
}

for (const server of await Promise.all(TRANSPORTS.map((transport) => startServer(t, { pki, transport })))) {
  const { transport } = server
  const gone = (count = 0): Promise<number> => figureBecomes(server, `${SERVER}established_connections`, count)

  t.test(`${transport}: the metadata comes at once, and no word of Culvert in it`, async (t) => {
    const agent = await stockAgent(t, server)
    const entries = (await agent.metadata).getMap()
    t.match(entries, { serverid: /./, servercount: '1' })
    t.notOk('culvert-extensions' in entries)
    agent.call.end()
    t.match(await within(agent.status, 'a status'), { code: 0 })
  })

  t.test(`${transport}: a dial, data both ways, and the end of the client`, async (t) => {
    const { agent, socket, connectID } = await open(t, server)
    t.match(agent.received[0], { dialRequest: { protocol: 'tcp', address, random: /^\d+$/ } })
    socket.write('ping')
    await eventually(
      'the data',
      () => agent.dataOf(connectID).toString(),
      (text) => text === 'ping',
    )
    agent.send({ type: 'DATA', data: { connectID, data: Buffer.from('pong') } })
    t.equal((await readBytes(socket, 4)).toString(), 'pong')
    socket.end('last')
    t.strictSame(await agent.next('closeRequest'), { connectID })
    t.equal(agent.dataOf(connectID).toString(), 'pinglast', 'all data comes before the close')
    agent.send({ type: 'DATA', data: { connectID, data: Buffer.from('late') } })
    agent.send({ type: 'CLOSE_RSP', closeResponse: { connectID } })
    t.equal((await readAll(socket)).toString(), 'late', 'and what the target still said is not lost')
    await gone()
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: the end of the target`, async (t) => {
    const { agent, socket, connectID } = await open(t, server)
    agent.send(
      { type: 'DATA', data: { connectID, data: Buffer.alloc(MEBIBYTE, 'x') } },
      { type: 'CLOSE_RSP', closeResponse: { connectID } },
    )
    t.equal((await readAll(socket)).length, MEBIBYTE)
    socket.end()
    await gone()
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: a close with a reason breaks the connection`, async (t) => {
    const { agent, socket, connectID } = await open(t, server)
    const ended = endOf(socket)
    agent.send({ type: 'CLOSE_RSP', closeResponse: { connectID, error: 'unrecognized connectID' } })
    await ended
    await figureBecomes(server, 'culvert_server_connection_ends_total{how="reset"}', 1)
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: 16 MiB each way arrive whole`, async (t) => {
    const agent = await stockAgent(t, server)
    agent.echo()
    const socket = await openTunnel(server, address)
    const bytes = Buffer.alloc(16 * MEBIBYTE, 'sixteen mebibytes')
    const back = readBytes(socket, bytes.length)
    socket.write(bytes)
    t.ok(bytes.equals(await back))
    socket.end()
    await readAll(socket)
    socket.destroy()
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: an error of the agent is the client's answer`, async (t) => {
    const agent = await stockAgent(t, server)
    const answer = askFor(server, address)
    const { random } = await agent.next('dialRequest')
    const error = 'dial tcp 10.0.0.1:443: i/o timeout'
    agent.send({ type: 'DIAL_RSP', dialResponse: { random, error } })
    t.match(await answer, { status: 504, reason: error, body: error })
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: a client that gives up cancels its dial, and a late answer is closed`, async (t) => {
    const agent = await stockAgent(t, server)
    const socket = await connectFrontend(server)
    socket.on('error', () => undefined)
    socket.write(connectHead(address))
    const { random } = await agent.next('dialRequest')
    socket.destroy()
    t.strictSame(await agent.next('closeDial'), { random })
    agent.send({ type: 'DIAL_RSP', dialResponse: { random, connectID: '7' } })
    t.strictSame(await agent.next('closeRequest'), { connectID: '7' })
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: an agent that drains is used while there is no other`, async (t) => {
    const agent = await stockAgent(t, server)
    agent.echo()
    agent.send({ type: 'DRAIN', drain: {} })
    await eventually(
      'the server knows',
      async () => (await fetchFrom(server.adminPort, '/v1/clusters')).text(),
      (text) => text.includes('"draining": true'),
    )
    const socket = await openTunnel(server, address)
    await echoOver(socket, 'still')
    socket.destroy()
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: a client that never reads does not hold up another one for ever`, async (t) => {
    const agent = await stockAgent(t, server)
    agent.echo()
    const stalled = await openTunnel(server, address)
    stalled.on('error', () => undefined)
    stalled.write(Buffer.alloc(2 * MEBIBYTE)) // under what is kept for one connection, over what the kernel takes
    const other = await openTunnel(server, address)
    await echoOver(other, 'meanwhile')
    for (const socket of [stalled, other]) socket.destroy()
    t.strictSame(agent.strange(), [])
  })

  t.test(`${transport}: when the agent leaves, its connections break and its dials fail`, async (t) => {
    const { agent, socket } = await open(t, server)
    const ended = endOf(socket)
    const answer = askFor(server, address)
    await agent.next('dialRequest')
    agent.call.cancel()
    await ended
    t.match(await answer, { status: 502 })
    await gone()
  })
}

t.test('an agent without an id is refused with the status and the words of the reference', async (t) => {
  const server = await startServer(t, { pki })
  const call = connectStock(t, server, new Metadata())
  call.resume()
  const status = new Promise((resolve) => call.once('status', resolve))
  t.match(await within(status, 'a status'), { code: 2, details: 'expected one agent ID in the context, got []' })
})

t.test('a server that shuts down keeps the stream of a stock agent until its connections have ended', async (t) => {
  const server = await startServer(t, { pki })
  const { agent, socket, connectID } = await open(t, server)
  server.signal('SIGTERM')
  await server.logged('shutting down')
  agent.send({ type: 'DATA', data: { connectID, data: Buffer.from('still open') } })
  t.equal((await readBytes(socket, 10)).toString(), 'still open')
  socket.end()
  await agent.next('closeRequest')
  agent.send({ type: 'CLOSE_RSP', closeResponse: { connectID } })
  await readAll(socket)
  t.match(await within(agent.status, 'a status'), { code: 14 })
  t.strictSame(await server.ended, { code: 0, signal: null })
  t.strictSame(agent.strange(), [])
})

t.test('a stock agent that is quiet is pinged, and its record says when it was last heard', async (t) => {
  const server = await startServer(t, { pki })
  const agent = await stockAgent(t, server)
  type Fleet = { clusters: [{ agents: [{ connectedAt: string; lastHeardAt: string; extensions: string[] }] }] }
  const record = async () =>
    ((await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as Fleet).clusters[0].agents[0]
  await eventually('it has answered a ping', record, ({ connectedAt, lastHeardAt }) => lastHeardAt > connectedAt)
  t.match(await record(), { extensions: [], roundTripMs: Number })
  t.strictSame(agent.strange(), [])
  t.equal(await figure(server, `${SERVER}ready_backends{proxy_strategy="default"}`), 1)
})
