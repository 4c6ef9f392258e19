/** Backends whose sockets are read into the one shared buffer: client — [a, b] — far, joined as the router does. */
import { randomBytes } from 'node:crypto'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { systemConnect } from '../../src/sni-router/connecting.ts'
import { forwardTo, READ_BYTES } from '../../src/sni-router/forwarding.ts'
import { type Splice, type SpliceEnd, splice } from '../../src/sni-router/splice.ts'
import { echoOver, readAll, readBytes } from '../integration/client.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { connectRaw } from '../integration/front-door.ts'
import { listenTarget, silent } from '../integration/target.ts'

/** More than twice as many as there may be free buffers. */
const CONNECTIONS = 60
const NEVER = { idleTimeoutMs: 0, halfClosedTimeoutMs: 1_000_000 }

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** Bytes of buffers that somebody still holds. */
function heldBytes(): number {
  for (let count = 0; count < 2; count++) collect()
  return process.memoryUsage().arrayBuffers
}

type Inner = {
  readonly a: Socket
  readonly b: Socket
  readonly join: Splice
  readonly bytes: { fromClients: number; toClients: number }
  readonly over: Promise<SpliceEnd>
}
type Joined = Inner & { readonly client: Socket; readonly far: Socket }

/** @returns opens a connection through a door of this process */
async function startDoor(t: Test): Promise<() => Promise<Joined>> {
  const target = await listenTarget(t, silent)
  let opened: (inner: Inner) => void
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (a) => {
    const bytes = { fromClients: 0, toClients: 0 }
    const { promise: over, resolve } = Promise.withResolvers<SpliceEnd>()
    const b = systemConnect({ ip: '127.0.0.1', port: target.port }, (chunk) => join.received(chunk))
    let join: Splice
    b.once('connect', () => {
      join = splice(a, b, bytes, 0, resolve)
      opened({ a, b, join, bytes, over })
    })
    t.teardown(() => join?.breakOff('shutdown'))
  })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => server.close())
  return async () => {
    const { promise, resolve } = Promise.withResolvers<Inner>()
    opened = resolve
    const next = target.next()
    const client = await connectRaw(t, (server.address() as AddressInfo).port)
    const [inner, far] = await within(Promise.all([promise, next]), 'both are joined')
    return { ...inner, client: client.pause(), far: far.on('error', () => undefined) }
  }
}

const several = async (count: number, open: () => Promise<Joined>): Promise<Joined[]> => {
  const all: Joined[] = []
  for (let index = 0; index < count; index++) all.push(await open())
  return all
}
const isPaused = (socket: Socket): Promise<unknown> =>
  eventually(
    'it is read no more',
    () => socket.isPaused(),
    (isPaused) => isPaused,
  )

// First, so that nothing of other tests is let go of meanwhile.
t.test('connections that are idle keep no buffer, were they ever so busy', async (t) => {
  const whole = Buffer.alloc(8 * 2 ** 20)
  const before = heldBytes()
  const all = await several(CONNECTIONS, await startDoor(t))
  for (const { far } of all) far.write(whole)
  for (const { b } of all) await isPaused(b)
  t.ok(heldBytes() - before > (CONNECTIONS / 2) * READ_BYTES, 'who waits has one')
  await Promise.all(all.map(({ client }) => readBytes(client, whole.length)))
  const kept = await eventually(
    'what is kept is for the next who wait',
    () => heldBytes() - before,
    (bytes) => bytes < (CONNECTIONS / 3) * READ_BYTES,
  )
  t.ok(kept < (CONNECTIONS / 3) * READ_BYTES, `${kept} bytes`)
})

t.test('what waits for one client stays as it is while others are served', async (t) => {
  const open = await startDoor(t)
  const [slow, fast] = [await several(4, open), await several(4, open)]
  const contents = new Map([...slow, ...fast].map((it) => [it, randomBytes(8 * 2 ** 20)]))
  const contentOf = (it: Joined): Buffer => contents.get(it)!
  for (const it of slow) it.far.end(contentOf(it))
  for (const { a, b } of slow) {
    await isPaused(b)
    t.ok(a.writableLength > 0, 'something waits')
  }
  const check = async (it: Joined): Promise<void> => {
    t.ok((await readAll(it.client)).equals(contentOf(it)), 'its own bytes, all of them, in order')
    t.equal(it.bytes.toClients, contentOf(it).length)
  }
  const served = fast.map(check)
  for (const it of fast) it.far.end(contentOf(it))
  await Promise.all(served)
  await Promise.all(slow.map(check))
})

t.test('clients that stop again and again get their own bytes', async (t) => {
  const open = await startDoor(t)
  await Promise.all(
    (await several(6, open)).map(async ({ client, far }) => {
      const content = randomBytes(6 * 2 ** 20)
      far.end(content)
      for (let at = 0; at < content.length; ) {
        const part = await readBytes(client, Math.min(300_000, content.length - at))
        t.ok(part.equals(content.subarray(at, at + part.length)), `from ${at} on`)
        at += part.length
      }
    }),
  )
})

t.test('for a client that reads nothing no more waits than its mark and one read', async (t) => {
  const { client, far, a, b } = await (await startDoor(t))()
  const whole = randomBytes(32 * 2 ** 20)
  far.end(whole)
  await isPaused(b)
  const most = a.writableHighWaterMark - 1 + READ_BYTES
  t.ok(a.writableLength >= a.writableHighWaterMark && a.writableLength <= most, `${a.writableLength} bytes`)
  t.ok((await readAll(client)).equals(whole))
})

t.test('what is given to write may be overwritten at once, be it little or much', async (t) => {
  const open = await startDoor(t)
  for (const size of [16_384, READ_BYTES]) {
    const { a, client } = await open()
    const { write, drained } = forwardTo(a.on('drain', () => drained()))
    const scratch = Buffer.alloc(size)
    const given: Buffer[] = []
    while (a.writableLength < 2 * READ_BYTES) {
      const content = randomBytes(size)
      given.push(content)
      content.copy(scratch)
      write(scratch)
    }
    scratch.fill(0)
    t.ok((await readBytes(client, given.length * size)).equals(Buffer.concat(given)), `pieces of ${size} bytes`)
  }
})

t.test('little that waits takes little memory', async (t) => {
  const all = await several(CONNECTIONS, await startDoor(t))
  const before = heldBytes()
  for (const { a } of all) {
    const { write } = forwardTo(a)
    while (a.writableLength === 0) write(Buffer.alloc(16_384))
    for (let count = 0; count < 100; count++) write(Buffer.alloc(60))
  }
  t.ok(heldBytes() - before < (CONNECTIONS / 3) * READ_BYTES, `${heldBytes() - before} bytes`)
})

t.test('each direction ends by itself', async (t) => {
  const open = await startDoor(t)
  const first = await open()
  first.far.end('last words')
  t.equal((await readAll(first.client)).toString(), 'last words')
  t.ok(first.b.readableEnded)
  const there = readAll(first.far)
  first.client.end('heard')
  t.equal((await there).toString(), 'heard')
  t.equal(await within(first.over, 'the end of both'), 'finished')
  t.strictSame(first.bytes, { fromClients: 5, toClients: 10 })

  const second = await open()
  second.client.end()
  await event(second.far.resume(), 'end')
  second.far.end(Buffer.alloc(2 ** 20, 'back'))
  t.ok((await readAll(second.client)).equals(Buffer.alloc(2 ** 20, 'back')))
  t.equal(await within(second.over, 'the end of both'), 'finished')
})

t.test('the end behind what waits comes when it is taken', async (t) => {
  const { client, far, b, over } = await (await startDoor(t))()
  const whole = randomBytes(16 * 2 ** 20)
  far.end(whole)
  await isPaused(b)
  t.notOk(b.readableEnded)
  t.ok((await readAll(client)).equals(whole))
  client.end()
  t.equal(await within(over, 'the end of both'), 'finished')
})

t.test('a side that breaks breaks the other, bytes under way or none', async (t) => {
  const open = await startDoor(t)
  for (const who of ['client', 'far'] as const) {
    for (const underWay of ['', 'some']) {
      const ends = await open()
      if (underWay) {
        const some = readBytes(ends.client, 4)
        ends.far.write(underWay)
        await some
      }
      const [one, other] = who === 'client' ? [ends.client, ends.far] : [ends.far, ends.client]
      const closed = within(new Promise((resolve) => other.once('error', resolve)), 'a reset')
      other.resume()
      one.resetAndDestroy()
      t.match(await closed, { code: 'ECONNRESET' })
      t.equal(await within(ends.over, 'the end of both'), 'reset')
    }
  }
})

t.test('a backend that is not read and has gone is found by a look', async (t) => {
  const { far, a, b, join, over } = await (await startDoor(t))()
  far.write(Buffer.alloc(32 * 2 ** 20))
  await isPaused(b)
  far.resetAndDestroy()
  await eventually(
    'the look finds out',
    () => {
      join.look(0, NEVER)
      return a.destroyed
    },
    (isDestroyed) => isDestroyed,
  )
  t.equal(await within(over, 'the end of both'), 'reset')
})

t.test('one that is broken off while bytes wait harms no other', async (t) => {
  const open = await startDoor(t)
  const [leaving, staying] = await several(2, open)
  leaving!.far.write(Buffer.alloc(32 * 2 ** 20))
  await isPaused(leaving!.b)
  leaving!.join.breakOff('shutdown')
  t.equal(await within(leaving!.over, 'the end of both'), 'shutdown')
  const whole = randomBytes(8 * 2 ** 20)
  staying!.far.end(whole)
  t.ok((await readAll(staying!.client)).equals(whole))
})

t.test('one that is asked for without a reader gives its bytes as any socket does', async (t) => {
  const target = await listenTarget(t, (socket) => socket.pipe(socket))
  const socket = systemConnect({ ip: '127.0.0.1', port: target.port })
  t.teardown(() => socket.destroy())
  await event(socket, 'connect')
  await echoOver(socket, 'as ever')
})
