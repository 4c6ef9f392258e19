/** Who writes and then closes at once loses nothing: the reference loses bytes in most such transfers. */
import type { Socket } from 'node:net'
import t from 'tap'
import { proveWay, startTunnelsOnBothWays } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { openTunnel } from './client.ts'
import { eventually, within } from './deadline.ts'
import { listenTarget } from './target.ts'

const TRANSFERS = 1_000 // over each frontend, half of them each way
const AT_ONCE = 16
const LEAST_BYTES = 1_024
const MOST_BYTES = 1_048_576
const bytes = Buffer.alloc(MOST_BYTES, 'write, then close')

/** Spread evenly over the orders of magnitude, the smallest and the largest included. */
const sizes = Array.from({ length: TRANSFERS / 2 }, (_, index) =>
  Math.round(LEAST_BYTES * (MOST_BYTES / LEAST_BYTES) ** (index / (TRANSFERS / 2 - 1))),
)

const pki = await makePki(t)

for (const tunnel of await startTunnelsOnBothWays(t, { pki })) {
  const { server, name } = tunnel

  t.test(`${name}: ${sizes.length} clients write and close, 0 bytes are lost`, async (t) => {
    const arrived: number[] = []
    const counted: Promise<unknown>[] = []
    const target = await listenTarget(t, (socket) => {
      counted.push(countBytes(socket).then((count) => arrived.push(count)))
      socket.once('end', () => socket.end())
    })
    await inTurns(sizes, async (size) => {
      const socket = await openTunnel(server, target.address)
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.write(bytes.subarray(0, size))
      socket.destroySoon()
      await within(closed, 'the client has closed')
    })
    await within(untilCounted(counted, sizes.length), 'all transfers end at the target')
    t.strictSame(
      arrived.sort((a, b) => a - b),
      sizes,
    )
  })

  t.test(`${name}: ${sizes.length} targets write and close, 0 bytes are lost`, async (t) => {
    const pending = [...sizes]
    const target = await listenTarget(t, (socket) => {
      socket.write(bytes.subarray(0, pending.shift()))
      socket.destroySoon()
    })
    const arrived: number[] = []
    await inTurns(sizes, async () => {
      const socket = await openTunnel(server, target.address)
      arrived.push(await countBytes(socket))
      socket.destroy()
    })
    t.strictSame(
      arrived.sort((a, b) => a - b),
      sizes,
    )
  })

  proveWay(t, tunnel)
}

/** Up to the clean end. */
function countBytes(socket: Socket): Promise<number> {
  let count = 0
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  socket.on('data', (chunk) => {
    count += chunk.length
  })
  socket.once('end', () => resolve(count))
  socket.once('error', reject)
  socket.once('close', () => reject(new Error(`broken off after ${count} bytes`)))
  socket.resume()
  return within(promise, 'the end of a transfer')
}

async function inTurns(items: readonly number[], work: (item: number) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

async function untilCounted(counted: readonly Promise<unknown>[], wanted: number): Promise<void> {
  await eventually(
    'all have come to the target', // who is accepted by the kernel may not have been looked at yet
    () => counted.length,
    (count) => count === wanted,
  )
  await Promise.all(counted)
}
