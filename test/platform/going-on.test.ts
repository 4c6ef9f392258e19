/** Readers of an answer that goes on, over real sockets: slow ones, and ones that stopped. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { goOn, type Reader, type ReaderLimits } from '../../src/platform/going-on.ts'
import { within } from '../integration/deadline.ts'

/** More than the buffers of two sockets hold. */
const LONG = 'x'.repeat(32 * 1024 * 1024)
const limits: ReaderLimits = { readerBytes: 100_000, stallMs: 60_000 }

type Setup = { readonly socket: Socket; readonly reader: Reader; readonly closed: Promise<unknown> }

/** A client that has not begun to read. */
async function setup(t: Test, beginning: string, more: Partial<ReaderLimits> = {}): Promise<Setup> {
  const reading = Promise.withResolvers<Omit<Setup, 'socket'>>()
  const server = createServer((_, response) => {
    const closed = once(response, 'close')
    reading.resolve({ reader: goOn(response, beginning, { ...limits, ...more }), closed })
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  return { socket, ...(await reading.promise) }
}

function readUntil(socket: Socket, end: string): Promise<number> {
  let [read, last] = [0, '']
  return within(
    new Promise((resolve) => {
      socket.on('data', (bytes: Buffer) => {
        read += bytes.length
        last = (last + bytes.subarray(-100).toString()).slice(-100)
        if (last.includes(end)) resolve(read)
      })
      socket.resume()
    }),
    `all up to ${end}`,
  )
}

t.test('a reader on a slow line gets a long beginning, and then what came meanwhile', async (t) => {
  const { socket, reader } = await setup(t, LONG)
  reader.write('changes')
  reader.write('and more')
  t.ok((await readUntil(socket, 'and more')) > LONG.length)
})

t.test('one who leaves too much of the changes unread is hung up on, one byte less is not', async (t) => {
  const { socket, reader, closed } = await setup(t, LONG)
  reader.write('y'.repeat(99_997))
  reader.write('end')
  await readUntil(socket, 'end')
  socket.pause()
  const other = await setup(t, LONG)
  other.reader.write('y'.repeat(99_998))
  other.reader.write('end')
  await within(other.closed, 'hung up on')
  other.reader.write('nothing comes of it')
  socket.destroy()
  await within(closed, 'the other end notices')
})

t.test('one who takes nothing for too long is hung up on, though nothing changes', async (t) => {
  const { closed } = await setup(t, LONG, { stallMs: 50 })
  await within(closed, 'hung up on')
})

t.test('one who has read all may wait for as long as it likes', async (t) => {
  const { socket, reader } = await setup(t, `${'x'.repeat(1_000_000)}begun`, { stallMs: 1_000 })
  await readUntil(socket, 'begun')
  await new Promise((resolve) => setTimeout(resolve, 1_500)) // longer than the deadline of who takes nothing
  for (let count = 0; count < 4; count++) {
    reader.write('y'.repeat(60_000))
    reader.write(`piece ${count}`)
    await readUntil(socket, `piece ${count}`) // what was read makes room for more
  }
})
