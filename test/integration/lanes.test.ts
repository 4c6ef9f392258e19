/** Bulk over lanes: all of it, in order, once; how lanes come, go and are refused. */
import type { Socket } from 'node:net'
import t from 'tap'
import { startBalancer } from './balancer.ts'
import { download } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { figure, figureBecomes, readFigures, SERVER } from './figures.ts'
import { startBreakableTunnel } from './lane-breaker.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, type Received, receiveAll, receivePattern, sendAll, sendPattern } from './transfer.ts'
import { type Agent, launchAgent, type Server, startAgent, startServer, startTunnels, type Tunnel } from './tunnel.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 24 * MEBIBYTE
const twoServers = ['--server-count=2']
const whole = { bytes: BULK_BYTES, hash: expectedHash(BULK_BYTES) }
const pki = await makePki(t)
const target = await listenTarget(t, echo)
const sinks = new Map<Socket, Promise<Received>>()
const sink = await listenTarget(t, (socket) => {
  const received = receiveAll(socket)
  received.then(() => socket.end()).catch(() => undefined) // who asks for it hears of it
  sinks.set(socket, received)
})
const source = await listenTarget(t, (socket) => void sendAll(socket, BULK_BYTES).catch(() => undefined))

const openLanes = 'culvert_server_open_lanes'
const moves = (segment: 'to_agent' | 'from_agent'): string =>
  `${SERVER}stream_packets_total{segment="${segment}",packet_type="MOVE"}`

const LANE_ENDS = ['finished', 'lost', 'dead', 'broken'].map((how) => `culvert_agent_lane_ends_total{how="${how}"}`)

async function endedLanes(agent: Agent): Promise<number> {
  const figures = await readFigures(agent)
  return LANE_ENDS.map(figures.of).reduce((sum, count) => sum + count)
}

/** Makes a connection send so much that lanes are opened. */
const bulkUp = (server: Server): Promise<void> => download(server, source.address, BULK_BYTES)

for (const { server, agent } of await startTunnels(t, { pki }, { flags: ['--lanes=2'] })) {
  const { transport } = server

  t.test(`${transport}: bulk arrives unchanged over lanes, both ways, and small exchanges beside it`, async (t) => {
    await bulkUp(server) // what comes next need not wait for lanes, however long they take to open
    await figureBecomes(server, openLanes, 2)
    await figureBecomes(agent, 'culvert_agent_open_lanes', 2)
    const before = await readFigures(server)
    const small = await openTunnel(server, target.address)
    await echoOver(small, 'before')
    const accepted = sink.next()
    const [up, down] = [await openTunnel(server, sink.address), await openTunnel(server, source.address)]
    const [received] = await Promise.all([receiveAll(down), sendAll(up, BULK_BYTES), echoOver(small, 'meanwhile')])
    t.strictSame(received, whole)
    t.strictSame(await sinks.get(await accepted), whole)
    await echoOver(small, 'afterwards')
    for (const socket of [small, up, down]) socket.destroy()
    t.equal(await figure(server, openLanes), 2)
    t.equal(await figure(agent, 'culvert_agent_open_lanes'), 2)
    for (const [segment, what] of [
      ['to_agent', 'the upload'],
      ['from_agent', 'the download'],
    ] as const) {
      t.ok((await figure(server, moves(segment))) > before.of(moves(segment)), `${what} was moved`)
    }
  })

  t.test(`${transport}: 16 connections at once send and receive over lanes`, async (t) => {
    const bytes = 4 * MEBIBYTE
    const sockets = await Promise.all(Array.from({ length: 16 }, () => openTunnel(server, target.address)))
    const all = sockets.map(async (socket) => {
      const [received] = await Promise.all([receiveAll(socket), sendAll(socket, bytes)])
      socket.destroy()
      return received
    })
    const expected = { bytes, hash: expectedHash(bytes) }
    t.strictSame(
      await Promise.all(all),
      sockets.map(() => expected),
    )
  })
}

t.test('a single connection goes over several lanes', async (t) => {
  const { server, breaker } = await startBreakableTunnel(t, 4, { pki })
  const before = breaker.lanes().map((lane) => lane.bytes())
  const down = await openTunnel(server, source.address)
  t.strictSame(await receiveAll(down), whole)
  down.destroy()
  // How many depends on how soon each has room again: on loopback two may be enough.
  const [most, second] = breaker
    .lanes()
    .map((lane, index) => lane.bytes() - before[index]!)
    .sort((a, b) => b - a)
  t.ok(second! > MEBIBYTE, `${most} and ${second} bytes over two of them`)
})

// With a single lane, so that all that is counted are moves there and back.
for (const { server } of await startTunnels(t, { pki }, { flags: ['--lanes=1'] })) {
  const { transport } = server
  await bulkUp(server)
  await figureBecomes(server, openLanes, 1)

  t.test(`${transport}: a connection that is bulk now and then moves there and back and loses nothing`, async (t) => {
    const socket = await openTunnel(server, target.address)
    for (let round = 0; round < 3; round++) {
      const before = await figure(server, moves('to_agent'))
      const hash = receivePattern(socket, MEBIBYTE * 2)
      await sendPattern(socket, MEBIBYTE * 2)
      t.equal(await hash, expectedHash(MEBIBYTE * 2))
      await eventually(
        'it has moved to a lane, and back when it was calm',
        async () => {
          await echoOver(socket, `calm ${round}`)
          return figure(server, moves('to_agent'))
        },
        (count) => count >= before + 2,
      )
    }
    socket.destroy()
  })
}

t.test('a lane on which nothing is heard any more is left within seconds, and the stream stays', async (t) => {
  const flags = ['--heartbeat-interval=200ms', '--heartbeat-timeout=3s'] // longer than a busy machine stops who is well
  const options = { pki, flags: ['--heartbeat-timeout=3s'] }
  const { server, agent, breaker } = await startBreakableTunnel(t, 2, options, flags)
  const small = await openTunnel(server, target.address)
  for (const lane of breaker.lanes()) lane.silence()
  await figureBecomes(server, 'culvert_server_lane_ends_total{how="dead"}', 2)
  // By its counter: new ones come at once, as the download was a moment ago.
  await eventually(
    'the agent has given them up',
    () => endedLanes(agent),
    (count) => count === 2,
  )
  await echoOver(small, 'the stream is there')
  small.destroy()
  await bulkUp(server)
})

t.test('a lane that comes to another server is refused, and tried again until it comes to the right one', async (t) => {
  const servers = await Promise.all([
    startServer(t, { pki, flags: twoServers }),
    startServer(t, { pki, flags: twoServers }),
  ])
  const balancer = await startBalancer(t, () => servers.map(({ agentPort }) => agentPort))
  const agent = await launchAgent(t, { pki, agentPort: balancer.port }, { flags: ['--lanes=2'] })
  await agent.logged('connected', 2)
  await eventually(
    'both have lanes, and have refused some',
    async () => {
      await Promise.all(servers.map(bulkUp))
      const all = await Promise.all(servers.map((server) => figure(server, openLanes)))
      const refused = await figure(agent, 'culvert_agent_failed_lanes_total{why="refused"}')
      return { least: Math.min(...all), refused }
    },
    ({ least, refused }) => least > 0 && refused > 0,
    60_000,
  )
})

t.test('a lane that comes to another worker is refused, and tried again until it comes to the right one', async (t) => {
  const server = await startServer(t, { pki, flags: ['--workers=2'] })
  const agent = await launchAgent(t, server, { flags: ['--lanes=2'] })
  await agent.logged('connected', 2)
  await eventually(
    'there are lanes, and some were refused',
    async () => {
      await bulkUp(server)
      const open = await figure(agent, 'culvert_agent_open_lanes')
      const refused = await figure(agent, 'culvert_agent_failed_lanes_total{why="refused"}')
      return { open, refused }
    },
    ({ open, refused }) => open > 0 && refused > 0,
    60_000,
  )
  await eventually(
    'all workers together have the lanes that the agent has', // which opens more meanwhile
    async () => [await figure(server, openLanes), await figure(agent, 'culvert_agent_open_lanes')],
    ([ofServer, ofAgent]) => ofServer === ofAgent,
  )
})

t.test('without lanes on either end all goes over the stream', async (t) => {
  for (const [serverFlags, agentFlags] of [
    [[], ['--lanes=0']],
    [['--max-lanes-per-agent=0'], ['--lanes=4']],
  ] as const) {
    const server = await startServer(t, { pki, flags: serverFlags })
    const agent = await startAgent(t, server, { flags: agentFlags })
    await bulkUp(server)
    t.equal(await figure(server, openLanes), 0)
    t.equal(await figure(server, moves('from_agent')), 0)
    t.notMatch(JSON.stringify(agent.log), /lanes/, 'it was not agreed on')
  }
})

t.test('a path whose round trip is short has no lanes unless they are asked for', async (t) => {
  const server = await startServer(t, { pki })
  const agent = await startAgent(t, server, { flags: ['--lanes=auto'] })
  await bulkUp(server)
  t.equal(await figure(agent, 'culvert_agent_open_lanes'), 0)
})

for (const who of ['server', 'agent'] as const) {
  t.test(`transfers over lanes complete when the ${who} gets SIGTERM`, async (t) => {
    const server = await startServer(t, { pki })
    const tunnel: Tunnel = { server, agent: await startAgent(t, server, { flags: ['--lanes=2'] }) }
    await bulkUp(server)
    await figureBecomes(server, openLanes, 2)
    const accepted = sink.next()
    const [up, down] = [await openTunnel(server, sink.address), await openTunnel(server, source.address)]
    const received = receiveAll(down)
    const sent = sendAll(up, BULK_BYTES)
    await event(down, 'data')
    tunnel[who].signal('SIGTERM')
    t.strictSame(await received, whole)
    await sent
    t.strictSame(await sinks.get(await accepted), whole)
    for (const socket of [up, down]) socket.destroy()
    t.strictSame(await within(tunnel[who].ended, 'its end'), { code: 0, signal: null })
  })
}
