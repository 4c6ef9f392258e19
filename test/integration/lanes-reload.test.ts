/**
 * Certificates that are renewed while lanes are up, by another authority: what is open goes on over the lanes that there are,
 * and new lanes are opened with what is in the files now.
 */
import { createHash, randomBytes } from 'node:crypto'
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
import { receiveAll } from './transfer.ts'

const LANES = 4
const MEBIBYTE = 1024 * 1024
/**
 * What is under way of one connection at a time: it never fills its lane, and so never changes to one that the test cuts; and it is
 * bulk as long as a piece arrives within 90 ms.
 */
const PIECE_BYTES = 192 * 1024
/** What a lane carries that nothing uses, and more. */
const LITTLE_BYTES = 64 * 1024
/** A transfer goes on through all of the test. */
const WHOLE_MS = 120_000
const OPEN_LANES = 'culvert_server_open_lanes'

t.test('new lanes use new certificates, and transfers over old ones lose nothing', { timeout: 0 }, async (t) => {
  const pki = await makePki(t)
  const { server, agent, breaker } = await startBreakableTunnel(t, LANES, { pki, transport: 'uds' })
  let enough = false
  /** Piece by piece: the next one when the one before has arrived. */
  const transfer = async (from: Socket, to: Socket): Promise<void> => {
    const received = receiveAll(to, WHOLE_MS)
    received.catch(() => undefined) // heard of below
    let arrived = 0
    let more = (): void => {}
    to.on('data', (chunk) => {
      arrived += chunk.length
      more()
    })
    const sent = { bytes: 0, hash: createHash('sha256') }
    while (!enough) {
      const piece = randomBytes(PIECE_BYTES)
      sent.hash.update(piece)
      sent.bytes += PIECE_BYTES
      const { promise, resolve } = Promise.withResolvers<void>()
      more = () => arrived >= sent.bytes && resolve()
      from.write(piece)
      await within(promise, 'a piece arrives')
    }
    from.end()
    t.strictSame(await received, { bytes: sent.bytes, hash: sent.hash.digest('hex') })
  }
  const target = await listenTarget(t, () => undefined)
  const open = async (): Promise<{ readonly client: Socket; readonly end: Socket }> => {
    const accepted = target.next()
    return { client: await openTunnel(server, target.address), end: await accepted }
  }
  const [up, down] = [await open(), await open()]
  const transfers = [transfer(up.client, up.end), transfer(down.end, down.client)]
  const [busy] = await busyLanes(breaker, 1)

  await renewAll(pki)
  await Promise.all([
    server.logged('TLS files changed, new handshakes use them'),
    agent.logged('TLS files changed, the next connection uses them'),
  ])
  const idle = await idleLanes(breaker)
  const openedBefore = breaker.opened()
  for (const lane of idle) lane.cut()
  const another = await open() // that wants a lane
  transfers.push(transfer(another.end, another.client))
  await eventually(
    'as many lanes are new ones',
    () => breaker.opened(),
    (opened) => opened === openedBefore + idle.length,
  )
  await figureBecomes(server, OPEN_LANES, LANES)
  t.ok(idle.length > 0, `${idle.length} lanes are new ones`)
  t.equal(await figure(agent, 'culvert_agent_failed_lanes_total{why="connect"}'), 0)
  const carried = busy!.bytes()
  await eventually(
    'what goes over an old one goes on',
    () => busy!.bytes(),
    (bytes) => bytes > carried + MEBIBYTE,
  )
  enough = true
  await Promise.all(transfers)
  t.equal(await figure(agent, `${AGENT}open_server_connections`), 1)
  t.equal(agent.log.filter(({ msg }) => msg === 'connected').length, 1, 'the stream is the one from before')
  for (const { client } of [up, down, another]) client.destroy()
})

/**
 * New certificates for the same names, by an authority that is trusted beside the one before: without that one whoever has
 * only its certificate would be hung up on.
 */
async function renewAll({ folder, caFile, authority: before }: Pki): Promise<void> {
  const authority = await createAuthority({ trustDomain: 'hub.example' })
  const [server, agent] = await Promise.all([
    issueLeaf(authority, { identity: { role: 'server', id: 'hub-0' }, ipAddresses: ['127.0.0.1'] }),
    issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } }),
  ])
  saveLeaf(folder, 'server', server)
  saveLeaf(folder, 'agent', agent)
  writeFileSync(caFile, authority.certificatePem + before.certificatePem)
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
