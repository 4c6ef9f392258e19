/** A server whose work is done by several processes behind its ports. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { askFor, echoOver, endOf, openTunnel } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { fetchFrom, figure, figureBecomes, SERVER } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, receivePattern, sendAll, sendPattern, sendSlowly } from './transfer.ts'
import { type Server, startServer, TRANSPORTS } from './tunnel.ts'
import { allReady, fleetOf, holdsAll, startTeam, workerPids } from './workers.ts'

const BYTES = 5_000_011

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} connections are spread over the workers, and their bytes arrive`, async (t) => {
    const { server } = await startTeam(t, { transport })
    const target = await listenTarget(t, echo)
    const sockets = await openInTurn(8, server, target.address)
    t.strictSame((await fleetOf(server)).map(({ connections }) => connections).toSorted(), [4, 4])
    for (const socket of sockets) {
      const [received] = await Promise.all([receiveAll(socket), sendAll(socket, BYTES)])
      t.strictSame(received, { bytes: BYTES, hash: expectedHash(BYTES) })
    }
  })
}

t.test('lanes come to the worker of their stream, if need be at the second try', async (t) => {
  const { server, agent } = await startTeam(t, { agent: { flags: ['--lanes=1'] } })
  const target = await listenTarget(t, echo)
  const sockets = await openInTurn(2, server, target.address)
  const streams = 2
  // Each lane may come to the other's worker first and be refused. It is tried again for bulk that there is then.
  await eventually(
    'each stream has its lane',
    async () => {
      const hashes = sockets.map((socket) => receivePattern(socket, BYTES))
      await Promise.all(sockets.map((socket) => sendPattern(socket, BYTES)))
      for (const hash of await Promise.all(hashes)) t.equal(hash, expectedHash(BYTES))
      return agent.log.filter(({ msg }) => msg === 'lane opened').length
    },
    (opened) => opened === streams,
    60_000,
  )
  await server.logged('lane opened', streams) // of another process than the agent's: which is read first is chance
  t.equal(new Set(server.log.filter(({ msg }) => msg === 'lane opened').map(({ worker }) => worker)).size, streams)
})

t.test('health, metrics and fleet are those of all workers together', async (t) => {
  const { server, agent } = await startTeam(t)
  const target = await listenTarget(t, echo)
  const sockets = await Promise.all(Array.from({ length: 4 }, () => openTunnel(server, target.address)))
  await Promise.all(sockets.map((socket) => echoOver(socket, 'hello')))
  t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 200)
  await figureBecomes(server, `${SERVER}established_connections`, 4)
  t.equal(await figure(server, `${SERVER}dial_duration_seconds_count`), 4)
  t.equal(await figure(server, 'culvert_server_payload_bytes_total{segment="to_agent"}'), 20)
  t.equal(await figure(server, `${SERVER}ready_backends{proxy_strategy="default"}`), 2)
  t.equal(await figure(server, 'culvert_server_workers{state="up"}'), 2)
  const fleet = await fleetOf(server)
  t.equal(new Set(fleet.map(({ agentId }) => agentId)).size, 1)
  t.equal(new Set(fleet.map(({ serverId }) => serverId)).size, 2, 'each worker is a server of its own')
  t.ok(agent.log.length > 0)
  for (const socket of sockets) socket.destroy()
})

t.test('the program is not ready before an agent has come', async (t) => {
  const server = await startServer(t, { flags: ['--workers=2'] })
  t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 500)
  t.equal((await askFor(server, '127.0.0.1:1')).status, 500, 'and says so to clients')
})

t.test('a killed worker costs its own connections only, and is replaced', { timeout: 0 }, async (t) => {
  const { server, agent } = await startTeam(t)
  const target = await listenTarget(t, echo)
  const sockets = await openInTurn(6, server, target.address)
  const whole = expectedHash(BYTES)
  const outcomes = sockets.map((socket) => {
    void sendSlowly(socket, BYTES, 40_009, 10).then(
      () => socket.end(),
      () => undefined,
    )
    return receiveAll(socket).then(
      ({ bytes, hash }) => (hash === whole ? 'whole' : cutShort(bytes, hash)),
      () => 'broken',
    )
  })
  for (const socket of sockets) socket.on('error', () => undefined)
  const before = await fleetOf(server)
  const dials = await figure(server, `${SERVER}dial_duration_seconds_count`)
  const [victim] = workerPids(server)
  process.kill(victim!, 'SIGKILL')
  const { worker } = await server.logged('worker crashed')
  t.strictSame((await Promise.all(outcomes)).toSorted(), ['broken', 'broken', 'broken', 'whole', 'whole', 'whole'])
  await allReady(server, 2)
  await holdsAll(agent, 2)
  const after = await fleetOf(server)
  const idOf = (held: typeof after, slot: unknown): unknown => held.find((it) => it.worker === slot)?.serverId
  t.not(idOf(after, worker), idOf(before, worker), 'who replaces it is a new server')
  t.equal(idOf(after, 3 - Number(worker)), idOf(before, 3 - Number(worker)), 'the other one is who it was')
  t.equal(await figure(server, 'culvert_server_worker_crashes_total'), 1)
  t.equal(await figure(server, `${SERVER}dial_duration_seconds_count`), dials, 'what was counted stays counted')
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'and it goes on')
  socket.destroy()
})

t.test('clients that come while no worker is up wait for the next one', async (t) => {
  const { server } = await startTeam(t, { transport: 'uds' })
  for (const pid of workerPids(server)) process.kill(pid, 'SIGKILL')
  await server.logged('worker crashed', 2)
  const answer = await askFor(server, '127.0.0.1:1')
  t.match(answer.status, /500|502/, 'an answer, from a worker with agents or without')
  await allReady(server, 2)
})

t.test('a worker that hangs is given one client at most, the others serve all who come', async (t) => {
  const { server } = await startTeam(t)
  const target = await listenTarget(t, echo)
  const [stopped] = workerPids(server)
  process.kill(stopped!, 'SIGSTOP')
  let served = 0
  const clients = Array.from({ length: 9 }, async () => {
    const socket = await openTunnel(server, target.address)
    await echoOver(socket, 'hello')
    socket.destroy()
    served++
  })
  await eventually(
    'all but one are served',
    () => served,
    (count) => count === 8,
  )
  process.kill(stopped!, 'SIGCONT')
  await Promise.all(clients)
  t.equal(served, 9, 'and that one when the worker goes on')
})

t.test('workers that had no descriptor left for a client are given the next ones when they have', async (t) => {
  const { server } = await startTeam(t)
  const target = await listenTarget(t, echo)
  const pids = workerPids(server)
  const [before] = pids.map(mostDescriptors)
  for (const pid of pids) allowDescriptors(pid, firstFreeDescriptor(pid))
  const lost = pids.map(async () => endOf(await connectPlainly(server)))
  await within(Promise.all(lost), 'the end of clients that no worker can receive')
  for (const pid of pids) allowDescriptors(pid, before!)
  const sockets = await openInTurn(4, server, target.address)
  t.strictSame((await fleetOf(server)).map(({ connections }) => connections).toSorted(), [2, 2])
  for (const socket of sockets) socket.destroy()
})

/** A process that is killed resets a connection of which it has not read all, and ends it else: over TLS either is a break. */
const cutShort = (bytes: number, hash: string): string =>
  bytes < BYTES && hash === expectedHash(bytes) ? 'broken' : 'damaged'

async function connectPlainly({ frontendPort }: Server): Promise<Socket> {
  const socket = connect(frontendPort, '127.0.0.1')
  socket.on('error', () => undefined)
  await event(socket, 'connect')
  return socket
}

/** Descriptors have lower numbers than this: the limit is of numbers. */
const allowDescriptors = (pid: number, limit: number): void =>
  void execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`])

const mostDescriptors = (pid: number): number =>
  Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1])

function firstFreeDescriptor(pid: number): number {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let free = 0
  while (used.has(free)) free++
  return free
}

/** One after the other, so that each worker has taken what it was given before the next one comes. */
async function openInTurn(count: number, server: Server, address: string): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) sockets.push(await openTunnel(server, address))
  return sockets
}
