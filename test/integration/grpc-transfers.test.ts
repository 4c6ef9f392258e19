/** gRPC mode: what goes in at one end comes out at the other, all of it, however the client goes afterwards. */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import t from 'tap'
import { onStream, overLanes, proveWay, startTunnelOnWay } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { event, eventually, within } from './deadline.ts'
import { figureBecomes, SERVER } from './figures.ts'
import { dataOf, dialRequest, grpcClient } from './grpc-client.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, pieces } from './transfer.ts'
import type { Server } from './tunnel.ts'
import { closeRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 64 * MEBIBYTE
const BULK_DEADLINE_MS = 120_000
const AT_ONCE = 16
const LEAST_BYTES = 1_024
const bytes = Buffer.alloc(MEBIBYTE, 'write, then close')
const hash = expectedHash(BULK_BYTES)

const pki = await makePki(t)
const target = await listenTarget(t, echo)

/** Spread evenly over the orders of magnitude, the smallest and the largest included. */
const sizesOf = (count: number): number[] =>
  Array.from({ length: count }, (_, index) =>
    Math.round(LEAST_BYTES * (MEBIBYTE / LEAST_BYTES) ** (index / (count - 1))),
  )

/** How a client goes once it has been told that its connection is closed. */
type Going = 'ends its call' | 'resets its call' | 'hangs up' | 'stays'

function go(call: WireCall, how: Going): void {
  if (how === 'ends its call') call.stream.end()
  if (how === 'resets its call') call.stream.close()
  if (how === 'hangs up') call.http.destroy()
}

/** A target that counts what comes, up to a clean end, and then does as it likes. */
async function counting(serve: (socket: Socket) => void): Promise<{ address: string; counts: Promise<number>[] }> {
  const counts: Promise<number>[] = []
  const { address } = await listenTarget(t, (socket) => {
    counts.push(
      new Promise((resolve) => {
        let count = 0
        socket.on('data', (chunk) => {
          count += chunk.length
        })
        socket.once('end', () => resolve(count))
        socket.once('error', () => resolve(-1))
      }),
    )
    serve(socket)
  })
  return { address, counts }
}

/** Reads 64 KiB now and then. */
function slowly(socket: Socket): void {
  socket.on('data', () => {
    socket.pause()
    setTimeout(() => socket.resume(), 2)
  })
  socket.once('end', () => socket.end())
}

const habits: readonly [what: string, serve: (socket: Socket) => void, count: number, how: Going][] = [
  ['a target that ends when they do', (socket) => void socket.once('end', () => socket.end()), 400, 'ends its call'],
  ['a target that echoes', echo, 200, 'resets its call'],
  ['a slow target', slowly, 100, 'ends its call'],
  ['a target that never ends its side', () => {}, 100, 'stays'],
  [
    'a target, each on an HTTP/2 connection that ends with it',
    (socket) => void socket.once('end', () => socket.end()),
    200,
    'hangs up',
  ],
]

const options = { pki, flags: ['--mode=grpc'] }
const tunnels = await Promise.all([
  startTunnelOnWay(t, onStream, { ...options, transport: 'tls' }, { carry: download }),
  startTunnelOnWay(t, onStream, { ...options, transport: 'uds' }, { carry: download }),
  startTunnelOnWay(t, overLanes, { ...options, transport: 'uds' }, { carry: download }),
])

for (const tunnel of tunnels) {
  const { server, name } = tunnel

  t.test(`${name}: 64 MiB go both ways at once, unchanged`, async (t) => {
    const call = grpcClient(t, server).call()
    call.send(dialRequest(target.address))
    const { connectID } = await call.next('dialResponse')
    const received = createHash('sha256')
    let count = 0
    const all = Promise.withResolvers<void>()
    call.take = ({ data }) => {
      if (!data) return
      received.update(data.data)
      count += data.data.length
      if (count === BULK_BYTES) all.resolve()
    }
    for (const piece of pieces(BULK_BYTES)) {
      if (!call.stream.write(dataOf(connectID, piece))) await event(call.stream, 'drain')
    }
    await within(all.promise, 'all of it comes back', BULK_DEADLINE_MS)
    t.equal(received.digest('hex'), hash)
    call.cancel()
  })

  for (const [what, serve, count, how] of habits) {
    t.test(`${name}: ${count} clients write to ${what} and close, 0 bytes are lost`, async (t) => {
      const { address, counts } = await counting(serve)
      const sizes = sizesOf(count)
      const shared = await joinFrontend(t, server)
      await inTurns(sizes, async (size) => {
        const call = openCall(how === 'hangs up' ? await joinFrontend(t, server) : shared)
        const id = await call.dial(address)
        call.sendData(id, bytes.subarray(0, size))
        call.send(closeRequest(id))
        const { connectId, error } = await call.next('CLOSE_RSP')
        if (connectId !== id || error !== '') t.fail(`${id} was closed as ${connectId}: ${error}`)
        go(call, how)
      })
      await eventually(
        'all have come',
        () => counts.length,
        (connections) => connections === count,
      )
      const arrived = await within(Promise.all(counts), 'all ends come', BULK_DEADLINE_MS)
      t.strictSame(
        arrived.sort((a, b) => a - b),
        sizes,
      )
      shared.destroy()
    })
  }

  t.test(`${name}: 200 targets speak first and close, 0 bytes are lost and every end is told`, async (t) => {
    const sizes = sizesOf(200)
    const pending = [...sizes]
    const { address } = await listenTarget(t, (socket) => {
      socket.write(bytes.subarray(0, pending.shift()))
      socket.destroySoon()
    })
    const http = await joinFrontend(t, server)
    const arrived: number[] = []
    await inTurns(sizes, async () => {
      const call = openCall(http)
      const id = await call.dial(address)
      t.match(await call.next('CLOSE_RSP'), { connectId: id, error: '' })
      arrived.push(call.bytesOf(id).length)
      call.stream.end()
    })
    t.strictSame(
      arrived.sort((a, b) => a - b),
      sizes,
    )
  })

  for (const [where, join] of [
    ['one HTTP/2 connection', undefined],
    ['200 HTTP/2 connections', joinFrontend],
  ] as const) {
    t.test(`${name}: 200 connections at once on ${where}`, async (t) => {
      const shared = await joinFrontend(t, server)
      const opened = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const call = openCall(join ? await join(t, server) : shared)
          return { call, id: await call.dial(target.address, index) }
        }),
      )
      await figureBecomes(server, `${SERVER}established_connections`, 200)
      for (const round of [1, 2, 3]) {
        await Promise.all(opened.map(({ call, id }, index) => echoOver(call, id, `round ${round} of ${index}`)))
      }
      for (const { call } of opened) call.stream.end()
      await figureBecomes(server, `${SERVER}established_connections`, 0)
      t.pass('each had its own bytes')
    })
  }

  proveWay(t, tunnel)
}

async function download(server: Server, address: string): Promise<void> {
  const call = openCall(await joinFrontend(t, server))
  await call.dial(address)
  await call.next('CLOSE_RSP')
  call.stream.end()
}

async function inTurns(items: readonly number[], work: (item: number) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
