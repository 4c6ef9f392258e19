/**
 * Certificates that are renewed while lanes are up, by another authority: what is open goes on over the lanes that there are,
 * and new lanes are opened with what is in the files now, for nothing else is trusted any more.
 */
import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { makePki, type Pki, saveLeaf } from './certificates.ts'
import { openTunnel } from './client.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, figure, figureBecomes } from './figures.ts'
import { type LaneBreaker, startBreakableTunnel, type Wire } from './lane-breaker.ts'
import { listenTarget } from './target.ts'
import { BLOCK_BYTES, expectedHash, type Received, receiveAll, sendSlowly } from './transfer.ts'

const LANES = 4
const MEBIBYTE = 1024 * 1024
/** Three times what makes a connection bulk, for as long as it takes. */
const PIECE_BYTES = 64 * 1024
const EVERY_MS = 10
/** What a lane carries that nothing uses, and more. */
const LITTLE_BYTES = 64 * 1024
const OPEN_LANES = 'culvert_server_open_lanes'

t.test('new lanes use new certificates, and transfers over old ones lose nothing', { timeout: 0 }, async (t) => {
  const pki = await makePki(t)
  const { server, agent, breaker } = await startBreakableTunnel(t, LANES, { pki, transport: 'uds' })
  let enough = false
  const sendOn = async (socket: Socket): Promise<Received> => {
    let bytes = 0
    for (; !enough; bytes += BLOCK_BYTES) await sendSlowly(socket, BLOCK_BYTES, PIECE_BYTES, EVERY_MS)
    socket.end()
    return { bytes, hash: expectedHash(bytes) }
  }
  const sentDown: Promise<Received>[] = []
  const source = await listenTarget(t, (socket) => void sentDown.push(sendOn(socket)))
  const received = Promise.withResolvers<unknown>()
  const sink = await listenTarget(t, (socket) => void receiveAll(socket).then(received.resolve, received.reject))
  const [up, down] = [await openTunnel(server, sink.address), await openTunnel(server, source.address)]
  const downloaded = receiveAll(down)
  const sentUp = sendOn(up)
  const [busy] = await busyLanes(breaker, 1)

  await renewAll(pki)
  await Promise.all([
    server.logged('TLS files changed, new handshakes use them'),
    agent.logged('TLS files changed, the next connection uses them'),
  ])
  const idle = await idleLanes(breaker)
  const openedBefore = breaker.opened()
  for (const lane of idle) lane.cut()
  await figureBecomes(server, OPEN_LANES, LANES - idle.length)
  const more = await openTunnel(server, source.address) // one more that wants a lane
  const downloadedToo = receiveAll(more)
  await figureBecomes(server, OPEN_LANES, LANES)
  t.ok(idle.length > 0 && breaker.opened() === openedBefore + idle.length, `${idle.length} lanes are new ones`)
  t.equal(await figure(agent, 'culvert_agent_failed_lanes_total{why="connect"}'), 0)
  const carried = busy!.bytes()
  await eventually(
    'what goes over an old one goes on',
    () => busy!.bytes(),
    (bytes) => bytes > carried + MEBIBYTE,
  )
  enough = true
  t.strictSame(await within(received.promise, 'the upload ends'), await sentUp)
  t.strictSame(await Promise.all([downloaded, downloadedToo]), await Promise.all(sentDown))
  t.equal(await figure(agent, `${AGENT}open_server_connections`), 1)
  t.equal(agent.log.filter(({ msg }) => msg === 'connected').length, 1, 'the stream is the one from before')
  for (const socket of [up, down, more]) socket.destroy()
})

/** New certificates for the same names, by an authority that is trusted instead of the one before. */
async function renewAll({ folder, caFile }: Pki): Promise<void> {
  const authority = await createAuthority({ trustDomain: 'hub.example' })
  const [server, agent] = await Promise.all([
    issueLeaf(authority, { identity: { role: 'server', id: 'hub-0' }, ipAddresses: ['127.0.0.1'] }),
    issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } }),
  ])
  saveLeaf(folder, 'server', server)
  saveLeaf(folder, 'agent', agent)
  writeFileSync(caFile, authority.certificatePem)
}

async function busyLanes(breaker: LaneBreaker, least: number): Promise<readonly Wire[]> {
  const before = new Map(breaker.lanes().map((lane) => [lane, lane.bytes()]))
  return eventually(
    'lanes carry bulk',
    () => breaker.lanes().filter((lane) => lane.bytes() > (before.get(lane) ?? 0) + MEBIBYTE),
    (lanes) => lanes.length >= least,
  )
}

/** Those that carry next to nothing while others carry much. */
async function idleLanes(breaker: LaneBreaker): Promise<Wire[]> {
  const before = new Map(breaker.lanes().map((lane) => [lane, lane.bytes()]))
  await busyLanes(breaker, 1)
  return breaker.lanes().filter((lane) => lane.bytes() < (before.get(lane) ?? 0) + LITTLE_BYTES)
}
