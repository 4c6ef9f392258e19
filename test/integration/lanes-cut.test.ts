/**
 * Lanes that break under transfers: what goes over them breaks, and nothing that arrives is ever wrong. Longer by hand, up to
 * some 28 cuts: an agent that has lost a lane eight times in a row leaves its place empty for ten minutes.
 *
 *   CULVERT_LANE_CUTS=24 CULVERT_LANES_SEED=7 npx tap --disable-coverage --timeout=0 test/integration/lanes-cut.test.ts
 */
import type { Socket } from 'node:net'
import { setTimeout as elapsed } from 'node:timers/promises'
import t from 'tap'
import { createRandom, type Random } from '../platform/random.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { figure, figureBecomes, SERVER } from './figures.ts'
import { type LaneBreaker, startBreakableTunnel, type Wire } from './lane-breaker.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, type Received, receiveAll, sendAll } from './transfer.ts'
import type { Server } from './tunnel.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 24 * MEBIBYTE
const SEED = Number(process.env.CULVERT_LANES_SEED ?? 1)
const CUTS = Number(process.env.CULVERT_LANE_CUTS ?? 8)
const LANES = 4
/** Downloads and as many uploads at a time. */
const AT_ONCE = 2
/** A lane that breaks takes a while to be opened again, and a busy machine to fill it. */
const CARRIES_MS = 60_000
const pki = await makePki(t)
const target = await listenTarget(t, echo)
const sinks = await Promise.all(Array.from({ length: AT_ONCE }, listenSink))
const source = await listenTarget(t, (socket) => void sendAll(socket, BULK_BYTES).catch(() => undefined))

type Sink = { readonly address: string; readonly next: () => Promise<Received> }

/** Takes all that one upload after the other sends. */
async function listenSink(): Promise<Sink> {
  const taken = new Map<Socket, Promise<Received>>()
  const { address, next } = await listenTarget(t, (socket) => {
    const received = receiveAll(socket)
    received.then(() => socket.end()).catch(() => undefined) // who asks for it hears of it
    taken.set(socket, received)
  })
  return { address, next: async () => taken.get(await next())! }
}

/** When the next lane is cut, and which. */
type Cut = (breaker: LaneBreaker, random: Random) => Promise<Wire>

const atRandom: Cut = (breaker, random) =>
  carrying(() => breaker.lanes().filter((lane) => lane.bytes() > (1 + random.below(10)) * MEBIBYTE))

/** The one that has carried most in that second. */
const everySecond: Cut = async (breaker) => {
  const before = new Map(breaker.lanes().map((lane) => [lane, lane.bytes()]))
  await elapsed(1_000)
  const since = (lane: Wire): number => lane.bytes() - (before.get(lane) ?? 0)
  return carrying(() =>
    breaker
      .lanes()
      .filter((lane) => since(lane) > MEBIBYTE)
      .toSorted((a, b) => since(b) - since(a)),
  )
}

async function carrying(find: () => readonly Wire[]): Promise<Wire> {
  const [lane] = await eventually('a lane carries bulk', find, (lanes) => lanes.length > 0, CARRIES_MS)
  return lane!
}

for (const [transport, when, nextCut] of [
  ['tls', 'at random', atRandom],
  ['uds', 'every second', everySecond],
] as const) {
  t.test(`${transport}: lanes cut ${when} break what goes over them, and nothing is ever wrong`, async (t) => {
    const { server, agent, breaker } = await startBreakableTunnel(t, LANES, { pki, transport })
    const random = createRandom(SEED)
    const small = await openTunnel(server, target.address)
    const counts = { whole: { up: 0, down: 0 }, broken: { up: 0, down: 0 } }
    let transferring = true
    const all = sinks.flatMap((sink) =>
      (['up', 'down'] as const).map(async (way) => {
        while (transferring || counts.whole[way] === 0) {
          const received = await (way === 'up' ? upload(server, sink) : download(server))
          const isWhole = received?.bytes === BULK_BYTES
          counts[isWhole ? 'whole' : 'broken'][way]++
          if (!received) continue
          t.equal(received.hash, expectedHash(received.bytes), `${received.bytes} bytes, ${way}`)
          // A client over TLS or a Unix socket hears of a break as of an end that came too soon.
          t.ok(isWhole || way === 'down', 'a target that hears of a good end has all')
        }
      }),
    )
    for (let cuts = 0; cuts < CUTS; cuts++) {
      const lane = await nextCut(breaker, random)
      lane.cut()
      await echoOver(small, `the stream is untouched, cut ${cuts}`)
    }
    transferring = false
    await Promise.all(all)
    small.destroy()
    const { whole, broken } = counts
    t.comment(`${CUTS} cuts, ${breaker.opened()} lanes, whole and broken: ${JSON.stringify(counts)}`)
    t.ok(whole.up > 0 && whole.down > 0 && broken.up + broken.down > 0)
    t.ok(breaker.opened() > LANES, 'they were opened again')
    t.equal(await figure(server, `${SERVER}grpc_connections{service_method="Connect"}`), 1)
    await figureBecomes(server, `${SERVER}established_connections`, 0)
    await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
    await figureBecomes(agent, 'culvert_agent_buffered_bytes', 0)
    await figureBecomes(server, 'culvert_server_lane_ends_total{how="lost"}', CUTS)
  })
}

/** Up to a good end, as its receiver saw it. */
async function download(server: Server): Promise<Received | undefined> {
  const socket = await openTunnel(server, source.address)
  socket.on('error', () => undefined)
  const received = await receiveAll(socket).catch(() => undefined)
  socket.destroy()
  return received
}

/** Up to a good end, as its receiver saw it. */
async function upload(server: Server, sink: Sink): Promise<Received | undefined> {
  const arrived = sink.next().catch(() => undefined)
  const socket = await openTunnel(server, sink.address)
  socket.on('error', () => undefined)
  void sendAll(socket, BULK_BYTES).catch(() => undefined)
  const received = await arrived
  socket.destroy()
  return received
}
