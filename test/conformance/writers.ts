/** Who writes and closes at once: each transfer begins with its length, so what is missing is known at the other end. */
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { eventually, within } from '../integration/deadline.ts'
import { listenTarget } from '../integration/target.ts'
import { type Ask, open } from './frontend.ts'

const WRITERS = 16 // at a time
const LEAST_BYTES = 1_024
const MOST_BYTES = 1_048_576
const LENGTH_BYTES = 4
const ALL_DEADLINE_MS = 60_000

const filling = Buffer.alloc(MOST_BYTES, 'write, then close')

export async function clientWritesAndCloses(t: Test, ask: Ask, transfers: number): Promise<string> {
  const ended: Promise<boolean>[] = []
  const target = await listenTarget(t, (socket) => {
    ended.push(isWhole(socket))
    socket.once('end', () => socket.end())
  })
  await inTurns(sizes(transfers), async (bytes) => {
    const socket = await open(ask, target.address)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(withItsLength(bytes))
    socket.destroySoon()
    await within(closed, 'the client has closed')
  })
  await eventually(
    'all transfers have reached the target',
    () => ended.length,
    (count) => count === transfers,
  )
  return countLost(await within(Promise.all(ended), 'all transfers end at the target', ALL_DEADLINE_MS))
}

/** The client speaks first, as all clients of kube-apiserver do. */
export async function targetWritesAndCloses(t: Test, ask: Ask, transfers: number): Promise<string> {
  const pending = sizes(transfers)
  const target = await listenTarget(t, (socket) => {
    socket.once('data', () => {
      socket.write(withItsLength(pending.shift()!))
      socket.destroySoon()
    })
  })
  const whole: boolean[] = []
  await inTurns(sizes(transfers), async () => {
    const socket = await open(ask, target.address)
    socket.write('?')
    whole.push(await within(isWhole(socket), 'a transfer ends at the client'))
    socket.destroy()
  })
  return countLost(whole)
}

/** Spread evenly over the orders of magnitude from 1 KiB to 1 MiB. */
function sizes(count: number): number[] {
  return Array.from({ length: count }, (_, index) =>
    Math.round(LEAST_BYTES * (MOST_BYTES / LEAST_BYTES) ** (index / (count - 1))),
  )
}

function withItsLength(bytes: number): Buffer {
  const transfer = Buffer.from(filling.subarray(0, bytes))
  transfer.writeUInt32BE(bytes)
  return transfer
}

/** Whether all came, however the connection ended. */
function isWhole(socket: Socket): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  let head = Buffer.alloc(0)
  let count = 0
  const over = (): void => resolve(head.length === LENGTH_BYTES && head.readUInt32BE() === count)
  socket.on('data', (chunk: Buffer) => {
    if (head.length < LENGTH_BYTES) head = Buffer.concat([head, chunk]).subarray(0, LENGTH_BYTES)
    count += chunk.length
  })
  for (const name of ['end', 'error', 'close']) socket.once(name, over)
  socket.resume()
  return promise
}

async function inTurns(items: readonly number[], work: (item: number) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: WRITERS }, worker))
}

function countLost(whole: readonly boolean[]): string {
  const lost = whole.filter((one) => !one).length
  return lost === 0 ? 'ok' : `${lost} of ${whole.length} lost`
}
